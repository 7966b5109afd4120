# frozen_string_literal: true

require_relative "lib/bcda/version"

Gem::Specification.new do |gem|
  gem.name = "bcda"
  gem.version = Bcda::VERSION
  gem.summary = "Exports claims data from CMS's BCDA and other FHIR Bulk Data servers, through libbcda"
  gem.description = "Signs in, starts an export, polls it, and streams its files: each is inflated, decrypted, " \
                    "checked and cut into FHIR resources as it arrives. No file is held whole in memory."
  gem.authors = ["The libbcda authors"]
  gem.license = "MIT"
  gem.required_ruby_version = ">= 3.0"
  gem.add_runtime_dependency "ffi", "~> 1.15"
  # If libbcda.so.0 was copied to lib/bcda before the build, the gem contains it.
  gem.files = Dir.chdir(__dir__) { Dir["lib/**/*.{rb,so.0,dylib}", "sig/*.rbs", "examples/*", "README.md", ".yardopts"] }
  gem.metadata = { "rubygems_mfa_required" => "true" }
end
