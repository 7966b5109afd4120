# frozen_string_literal: true

require "bcda/version"
require "bcda/native"
require "bcda/errors"
require "bcda/arguments"
require "bcda/bad_line"
require "bcda/engine"
require "bcda/job_handle"
require "bcda/data_file"
require "bcda/saved_text"
require "bcda/resource"
require "bcda/batch"
require "bcda/issue"
require "bcda/deletion"
require "bcda/job"
require "bcda/config"
require "bcda/sign_in"
require "bcda/client"
require "bcda/decoder"

# Exports claims data from CMS's Beneficiary Claims Data API (BCDA), and from other FHIR Bulk Data
# servers, through the C library libbcda. Start at {Client}.
module Bcda
  # @return [String] the version of the C library in use
  def self.library_version
    Native.text(Native.bcda_version_string)
  end

  # @return [String] the path or name of the C library that is loaded
  def self.library_path
    Native.path
  end
end
