# frozen_string_literal: true

require_relative "helper"
require "rubygems/package"

# Tests of the gem as a whole: build, installation, documentation, and which library file it loads.
class TestGem < BcdaTest
  LIBRARY = ENV.fetch("BCDA_LIBRARY")

  def run_in(folder, env, *command)
    Open3.capture3(env, *command, chdir: folder)
  end

  # Builds the gem, installs it into a new folder, and requires it in a process whose load path has no folder
  # of this tree.
  def test_build_install_require
    Dir.mktmpdir do |folder|
      FileUtils.cp_r(File.join(GEM_ROOT, "."), File.join(folder, "source"))
      source = File.join(folder, "source")
      FileUtils.cp(LIBRARY, File.join(source, "lib", "bcda", "libbcda.so.0"))
      out, err, status = run_in(source, {}, "gem", "build", "bcda.gemspec", "--output", "../bcda.gem")
      assert status.success?, out + err
      assert_empty err.lines.grep(/WARNING/).reject { |line| line.match?(/no homepage|See http/) }
      out, err, status = run_in(folder, {}, "gem", "install", "--local", "--ignore-dependencies", "--no-document",
                                "--install-dir", "home", "bcda.gem")
      assert status.success?, out + err
      check_installed(folder)
    end
  end

  def check_installed(folder)
    env = { "GEM_PATH" => "#{folder}/home:#{Gem.path.join(':')}", "BCDA_LIBRARY" => nil, "RUBYLIB" => nil }
    out, err, status = run_in(folder, env, RbConfig.ruby, "-w", "-e", <<~RUBY)
      require "bcda"
      puts Bcda::VERSION, Bcda.library_version, Bcda.library_path, $LOADED_FEATURES.grep(/bcda.client/)
    RUBY
    assert status.success?, err
    version, library_version, path, feature = out.lines.map(&:chomp)
    assert_equal [Bcda::VERSION, Bcda.library_version, ""], [version, library_version, err]
    assert path.start_with?("#{File.realpath(folder)}/home/"), path # the library in the gem
    assert feature.start_with?("#{File.realpath(folder)}/home/"), feature
    out, = run_in(folder, env.merge("BCDA_LIBRARY" => LIBRARY), RbConfig.ruby, "-e", 'require "bcda"; puts Bcda.library_path')
    assert_equal LIBRARY, out.chomp # BCDA_LIBRARY takes precedence over the library in the gem
  end

  # Builds a library that has the two functions of the version and no others.
  def fake(folder, number, text)
    File.write(File.join(folder, "fake.c"), <<~C)
      int bcda_version_number(void) { return #{number}; }
      const char *bcda_version_string(void) { return "#{text}"; }
    C
    library = File.join(folder, "libfake.so")
    assert system(ENV.fetch("BCDA_CC", "cc"), "-shared", "-fPIC", "-o", library, File.join(folder, "fake.c"))
    library
  end

  def load_error(library)
    out, err, status = run_in("/", { "BCDA_LIBRARY" => library }, RbConfig.ruby, "-I", File.join(GEM_ROOT, "lib"), "-e", <<~RUBY)
      begin
        require "bcda"
      rescue LoadError => e
        puts e.class, e.message
      end
    RUBY
    assert status.success?, err
    name, message = out.split("\n", 2)
    assert_equal "Bcda::LoadError", name
    message
  end

  def test_an_older_library_is_refused
    Dir.mktmpdir do |folder|
      library = fake(folder, Bcda::ABI::VERSION_NUMBER - 1, "0.0.9")
      assert_equal "libbcda 0.0.9 (#{library}) is older than this gem needs: #{Bcda::VERSION} or later\n", load_error(library)
    end
  end

  def test_a_missing_function_is_named
    Dir.mktmpdir do |folder|
      library = fake(folder, Bcda::ABI::VERSION_NUMBER, Bcda::VERSION)
      assert_match(/libfake.so\) has no function bcda_\w+, which this gem needs/, load_error(library))
    end
  end

  def test_no_library
    assert_match(%r{libbcda cannot be loaded \(BCDA_LIBRARY can name it\): .*/nowhere/lib.so}, load_error("/nowhere/lib.so"))
  end

  def test_the_version_is_that_of_the_declarations
    number = Bcda::VERSION.split(".").map(&:to_i).inject { |sum, part| sum * 100 + part }
    assert_equal Bcda::ABI::VERSION_NUMBER, number
    assert_equal Bcda::VERSION, Bcda.library_version
  end

  # Runs all code blocks of the README in order, with the local sandbox instead of CMS's server.
  def test_readme
    sandbox = Sandbox.shared(*CURRENT)
    blocks = File.read(File.join(GEM_ROOT, "README.md")).scan(/^```ruby\n(.*?)^```/m).flatten
    assert_operator blocks.size, :>=, 8
    code = "#{PREAMBLE}client = new_client(poll_max_ms: 10)\n#{blocks.join}"
    code.gsub!('"https://sandbox.bcda.cms.gov/api/v2"', "ENV['BCDA_FHIR_URL']")
    code.gsub!('client_id: "your-client-id"', "ca_file: ENV['BCDA_CA_FILE'], client_id: ENV['BCDA_CLIENT_ID']")
    code.gsub!('"your-secret"', "File.read(ENV['BCDA_CLIENT_SECRET_FILE']).chomp")
    Dir.mktmpdir do |folder|
      out, err, status = Open3.capture3(sandbox.env, RbConfig.ruby, "-I", File.join(GEM_ROOT, "lib"), "-e", code, chdir: folder)
      assert status.success?, err
      assert_equal 40, out.lines.grep(/"resourceType":"Patient"/).size
      assert_match(/: 40 resources to commit\ncomplete\n/, out)
      assert_equal 200, File.readlines(File.join(folder, "claims.ndjson")).size
    end
  end

  def test_quickstart
    out, err, status = Open3.capture3(RbConfig.ruby, "-w", File.join(GEM_ROOT, "examples", "quickstart.rb"))
    assert status.success?, err
    assert_match(/^Patient +200 resources\nCoverage +800 resources\nExplanationOfBenefit +12000 resources$/, out)
    assert_match(/"benefitBalance"/, out)
    assert_equal "", err
  end

  def test_everything_public_is_documented
    Dir.mktmpdir do |folder|
      out, err, status = Open3.capture3("yard", "stats", "--list-undoc", "--no-cache", "--no-save", "--no-progress",
                                        "--db", File.join(folder, "db"), chdir: GEM_ROOT)
      assert status.success?, err
      assert_match(/100\.00% documented/, out)
      assert_equal ["", nil], [err, out[/^\[(warn|error)\].*/]]
    end
  end

  def test_signatures
    cli = 'require "rbs"; require "rbs/cli"; RBS::CLI.new(stdout: $stdout, stderr: $stderr).run(ARGV)'
    out, status = Open3.capture2e(RbConfig.ruby, "-e", cli, "--", "-r", "logger", "-r", "monitor", "-I", File.join(GEM_ROOT, "sig"), "validate", "--silent")
    assert status.success?, out
    text = File.read(File.join(GEM_ROOT, "sig", "bcda.rbs"))
    [Bcda::Client, Bcda::Job, Bcda::Batch, Bcda::Resource, Bcda::DataFile, Bcda::BadLine, Bcda::Issue, Bcda::Deletion, Bcda::Decoder, Bcda::Error].each do |klass|
      part = text[/^  class #{klass.name.split('::').last}\b.*?^  end/m]
      (klass.public_instance_methods(false) - hidden(klass)).each do |name|
        assert_match(/^    (def|attr_reader|alias) #{Regexp.escape(name.to_s)}\b|^    alias \w+ #{Regexp.escape(name.to_s)}$|^    def #{Regexp.escape(name.to_s)}:/, part, "#{klass}##{name}")
      end
    end
  end

  # The methods that a comment marks with @api private.
  def hidden(klass)
    path = klass.name.split("::").last.gsub(/(?<=[a-z])[A-Z]/) { |c| "_#{c}" }.downcase
    file = File.join(GEM_ROOT, "lib", "bcda", "#{path == 'error' ? 'errors' : path}.rb")
    File.read(file).scan(/# @api private\n    def (\w+[?!]?)/).flatten.map(&:to_sym)
  end
end
