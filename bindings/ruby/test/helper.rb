# frozen_string_literal: true

# Shared by the tests: the TAP report, test servers (sandboxes) and clients. BCDA_LIBRARY is the path of the
# library and BCDA_SANDBOX that of bcda-sandbox; meson sets both. To run one test:
# BCDA_LIBRARY=… BCDA_SANDBOX=… ruby test/test_export.rb -n /pause/

GEM_ROOT = File.expand_path("..", __dir__)
$LOAD_PATH.unshift File.join(GEM_ROOT, "lib")

require "minitest"
require "bcda"
require "fileutils"
require "open3"
require "rbconfig"
require "shellwords"
require "timeout"
require "tmpdir"

# Prints TAP, one line for each test, which meson reads.
class TapReporter < Minitest::AbstractReporter
  def initialize
    super
    @count = 0
    @failed = false
  end

  def record(result)
    @count += 1
    good = result.passed? || result.skipped?
    @failed = true unless good
    warn format("%.2f %s", result.time, result.name) if ENV["BCDA_TEST_TIMES"]
    puts "#{good ? 'ok' : 'not ok'} #{@count} - #{result.klass}##{result.name}" \
         "#{' # SKIP' if result.skipped?}"
    result.failures.each { |failure| failure.message.each_line { |line| puts "# #{line}" } } unless result.passed?
  end

  def report
    puts "1..#{@count}"
  end

  def passed?
    !@failed
  end
end

def Minitest.plugin_tap_init(_options)
  reporter.reporters.replace([TapReporter.new])
end
Minitest.extensions << "tap"
$stdout.sync = true

# A bcda-sandbox with TLS, in a process of its own.
class Sandbox
  PROGRAM = ENV.fetch("BCDA_SANDBOX")
  @running = {}
  @lock = Thread::Mutex.new

  # Returns a running sandbox with these options. The tests of a program share it; it is stopped when the
  # program ends.
  def self.shared(*options)
    @lock.synchronize { @running[options] ||= new(*options) }
  end

  def self.stop_all
    @running.each_value(&:stop)
  end

  attr_reader :env

  def initialize(*options, duplicates: true)
    options += ["--allow-duplicates"] if duplicates
    @state = Dir.mktmpdir("bcda-test-")
    FileUtils.mkdir(File.join(@state, "s"))
    # The sandbox must not inherit the stderr of this process: if this process crashed, meson would wait
    # until the sandbox closes it.
    @complaints = File.join(@state, "complaints")
    @output = IO.popen([PROGRAM, "--print-env", "--tls", "--state-dir", File.join(@state, "s"), *options], err: @complaints)
    @env = @output.each_line.to_h do |line|
      word = Shellwords.split(line).reject { |part| part == "export" }.first.to_s
      word.split("=", 2).then { |name, value| [name, value.to_s] }
    end
    raise "the sandbox did not start: #{options} #{File.read(@complaints)}" unless @env.key?("BCDA_FHIR_URL")
  end

  def stop
    Process.kill(:TERM, @output.pid)
    @output.close # waits until the sandbox has ended
    warn File.read(@complaints) unless File.empty?(@complaints)
    FileUtils.rm_rf(@state)
  end

  def url
    @env.fetch("BCDA_FHIR_URL")
  end

  def settings
    { client_id: @env.fetch("BCDA_CLIENT_ID"),
      client_secret: File.read(@env.fetch("BCDA_CLIENT_SECRET_FILE")).chomp,
      ca_file: @env.fetch("BCDA_CA_FILE"), private_key: @env["BCDA_PRIVATE_KEY"] }.compact
  end
end
Minitest.after_run { Sandbox.stop_all }

class BcdaTest < Minitest::Test
  LIMIT = 60 # seconds after which a test that hangs fails

  CURRENT = %w[--era current --polls 0 --patients 40 --claims 5].freeze
  ERA_2019 = %w[--era 2019-04 --polls 0 --patients 40 --claims 5].freeze
  # A server that sends each file slowly, so that a test can act during the download.
  SLOW = %w[--era current --polls 0 --patients 40 --claims 40 --fault slow:20000].freeze
  # A server whose exports never finish: a job of it is polled until the test ends it.
  NEVER = %w[--era current --polls 1000000].freeze

  Hung = Class.new(StandardError)

  def run
    Timeout.timeout(LIMIT, Hung) { super }
  end

  def open(*options, **settings, &block)
    sandbox = Sandbox.shared(*options)
    Bcda::Client.open(sandbox.url, **sandbox.settings, poll_max_ms: 10, **settings, &block)
  end

  # Runs Ruby code in a process of its own. If options are given, its environment names a sandbox with these
  # options. Returns its standard output, its standard error and its status.
  def ruby(code, *options, **more)
    env = options.empty? ? {} : Sandbox.shared(*options).env
    Open3.capture3(env, RbConfig.ruby, "-w", "-I", File.join(GEM_ROOT, "lib"), "-e", code, **more)
  end

  # Code at the beginning of such a process: defines new_client.
  PREAMBLE = <<~RUBY
    require "bcda"
    def new_client(**more)
      Bcda::Client.new(ENV["BCDA_FHIR_URL"], client_id: ENV["BCDA_CLIENT_ID"],
                       client_secret: File.read(ENV["BCDA_CLIENT_SECRET_FILE"]).chomp,
                       ca_file: ENV["BCDA_CA_FILE"], **more)
    end
  RUBY

  # Lets other threads run until the block returns true.
  def until_true
    Thread.pass until yield
  end

  # Runs the block in a new thread. Ruby's garbage collector scans stacks conservatively, so an object that
  # was created in this thread might be found on its stack and never be collected.
  def elsewhere(&block)
    Thread.new(&block).value
    nil
  end
end

require "minitest/autorun"
