# frozen_string_literal: true

module Bcda
  # The version of the gem. It equals the version of the library from whose headers abi.rb was generated.
  VERSION = "0.1.0"
end
