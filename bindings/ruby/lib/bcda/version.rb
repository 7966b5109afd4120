# frozen_string_literal: true

module Bcda
  # The version of the gem: that of the library whose declarations it was made from.
  VERSION = "0.1.0"
end
