# frozen_string_literal: true

# Downloads the files of a finished job and reads the type, the id and the length of the JSON of every
# resource. tests/bench/alongside.py calls it:
#
#   ruby bench/batches.rb STATUS_URL batches|resources [OPTION=NUMBER]...
#
# Prints "<resources> <bytes of json> <wall seconds> <CPU seconds> <peak KiB>". The times are those between
# the beginning of the first file and the end of the last file.

$LOAD_PATH.unshift File.join(__dir__, "..", "lib")
require "bcda"

url, mode, *settings = ARGV
abort "usage: batches.rb STATUS_URL batches|resources [OPTION=NUMBER]..." unless %w[batches resources].include?(mode)
options = settings.to_h { |setting| setting.split("=", 2) }
                  .to_h { |name, value| [name.to_sym, Integer(value)] }

clock = -> { [Process.clock_gettime(Process::CLOCK_MONOTONIC), Process.clock_gettime(Process::CLOCK_PROCESS_CPUTIME_ID)] }
first = last = nil
on_file = lambda do |_file, event|
  first ||= clock.call
  last = clock.call if event == :end
end

claims = others = id_lengths = bytes = 0

Bcda::Client.open(ENV.fetch("BCDA_FHIR_URL"), client_id: ENV.fetch("BCDA_CLIENT_ID"),
                  client_secret: File.read(ENV.fetch("BCDA_CLIENT_SECRET_FILE")).chomp,
                  private_key: ENV.fetch("BCDA_PRIVATE_KEY"), ca_file: ENV.fetch("BCDA_CA_FILE"),
                  **options) do |client|
  job = client.attach(url, on_file: on_file)
  if mode == "batches"
    job.each_batch do |batch|
      here = batch.types.count("ExplanationOfBenefit")
      claims += here
      others += batch.size - here
      batch.ids.each { |id| id_lengths += id.bytesize }
      bytes += batch.json_sizes.sum
    end
  else
    job.each do |resource|
      resource.type == "ExplanationOfBenefit" ? claims += 1 : others += 1
      id_lengths += resource.id.bytesize
      bytes += resource.json.bytesize
    end
  end
end
abort "no ids" if id_lengths.zero?

peak = File.read("/proc/self/status")[/^VmHWM:\s+(\d+)/, 1]
wall, cpu = last.zip(first).map { |b, a| b - a }
puts format("%d %d %.6f %.6f %s", claims + others, bytes, wall, cpu, peak)
