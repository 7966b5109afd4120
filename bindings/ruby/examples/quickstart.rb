#!/usr/bin/env ruby
# frozen_string_literal: true

# Does the same as examples/quickstart, in Ruby: builds the library, starts a local server that behaves as
# BCDA did in April 2019, runs an encrypted export from it over TLS, and prints the result. Files are only
# written under build/ and in a temporary folder, which is removed at the end. If the environment variable
# BCDA_BUILD names an existing build folder, that build is used.

require "fileutils"
require "shellwords"
require "tmpdir"

ROOT = File.expand_path("../../..", __dir__)
BUILD = ENV.fetch("BCDA_BUILD", File.join(ROOT, "build", "quickstart"))

def step(*command)
  system(*command, out: File::NULL) || abort("quickstart: #{command.first(3).join(' ')} failed")
end

unless ENV.key?("BCDA_BUILD")
  puts "Installing what is missing, and building ..."
  step("sh", File.join(ROOT, "tests", "install"), "build")
  File.exist?(File.join(BUILD, "build.ninja")) || step("meson", "setup", BUILD, ROOT, "--buildtype=release", "-Dtests=auto")
  step("ninja", "-C", BUILD)
end
ENV["BCDA_LIBRARY"] ||= File.join(BUILD, "lib", "libbcda.so.0")
$LOAD_PATH.unshift File.join(__dir__, "..", "lib")
require "bcda"

# Writes the resources of each type to a file of its own, and counts them.
def export(client, folder)
  counts = Hash.new(0)
  files = Hash.new { |hash, type| hash[type] = File.open(File.join(folder, "#{type}.ndjson"), "wb") }
  %w[Patient Coverage ExplanationOfBenefit].each do |type|
    client.export(type, level: :resource).each_batch do |batch|
      files[type] << batch.ndjson
      counts[type] += batch.size
    end
  end
  counts
ensure
  files.each_value(&:close)
end

puts "Starting a local BCDA of April 2019, with TLS, and a new key pair ..."
server = IO.popen([File.join(BUILD, "tools", "bcda-sandbox"), "--era", "2019-04", "--tls", "--print-env",
                   "--patients", "200", "--claims", "60"])
begin
  env = server.each_line.to_h { |line| Shellwords.split(line.delete_prefix("export ")).first.split("=", 2) }
  puts "Exporting from #{env.fetch('BCDA_FHIR_URL')} ..."
  Dir.mktmpdir do |folder|
    Bcda::Client.open(env.fetch("BCDA_FHIR_URL"), client_id: env.fetch("BCDA_CLIENT_ID"),
                      client_secret: File.read(env.fetch("BCDA_CLIENT_SECRET_FILE")).chomp,
                      ca_file: env.fetch("BCDA_CA_FILE"), private_key: env.fetch("BCDA_PRIVATE_KEY")) do |client|
      export(client, folder).each { |type, count| puts format("%-24s %8d resources", type, count) }
      puts format("%.1f MB decoded", client.stats[:bytes_decoded] / 1e6)
    end
    claim = JSON.parse(File.open(File.join(folder, "ExplanationOfBenefit.ndjson"), &:gets))
    puts "", "The first lines of the first claim, which was downloaded encrypted and decrypted:"
    puts JSON.pretty_generate(claim).lines.first(14).map { |line| line[0, 100] }, "  ..."
  end
ensure
  Process.kill(:TERM, server.pid)
  server.close
end
