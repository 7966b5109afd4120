# frozen_string_literal: true

require_relative "helper"

class TestExport < BcdaTest
  def test_encrypted_era
    open(*ERA_2019) do |client|
      events = []
      job = client.export("Patient", level: :resource, on_file: ->(file, event) { events << [file.name, event, file.verdict] })
      seen = job.map { |r| [r.type, r.id, r.parse["id"], r.json.encoding, r.file.encrypted?] }
      assert_equal 40, seen.size
      seen.each do |type, id, parsed, encoding, encrypted|
        assert_equal ["Patient", parsed, Encoding::UTF_8, true], [type, id, encoding, encrypted]
      end
      assert_equal 40, seen.map { |_, id| id }.uniq.size
      assert_equal [:done, :complete, 40, true], [job.state, job.verdict, job.resources, job.ended?]
      assert_equal [job.files.first.name], events.map(&:first).uniq
      assert_equal [:begin, :end], events.map { |e| e[1] }
      assert_equal :complete, events.last[2]
    end
  end

  def test_envelopes_and_bare_resources
    open("--era", "2019-04", "--polls", "0", "--patients", "3") do |client|
      resources = client.export("Patient", level: :resource).to_a
      resources.each do |r| # the batches of these resources were already released
        envelope = JSON.parse(r.line)
        assert_equal envelope["resource"], r.parse
        assert_equal envelope["fullUrl"], r.full_url
        assert_includes r.line, r.json
      end
      assert_equal [1, 2, 3], resources.map(&:line_number)
      assert_equal 0, resources.first.offset
      assert_equal resources[0].line.bytesize + 1, resources[1].offset
    end
  end

  def test_current_era_gzip_and_types
    open(*CURRENT) do |client|
      job = client.export("Patient", "ExplanationOfBenefit")
      counts = job.map(&:type).tally
      assert_equal({ "Patient" => 40, "ExplanationOfBenefit" => 200 }, counts)
      assert_operator job.bytes_received, :<, job.bytes # gzip
      assert_match(/\A\d{4}-/, job.transaction_time)
      assert_equal 2, job.files.size
      assert_equal 2, job.files_ended
      refute job.taken_over?
      assert_nil job.error
    end
  end

  def test_callbacks_in_order
    open(*CURRENT) do |client|
      log = []
      progress = 0
      job = client.export("Patient", on_state: ->(s) { log << s }, on_file: ->(_, e) { log << e },
                                     on_progress: ->(j) { progress += 1 if j.equal?(job) })
      job.each { log << :resource unless log.last == :resource }
      assert_equal %i[starting running downloading begin resource end done], log
      assert_operator progress, :>=, 0
    end
  end

  def test_enumerators
    open(*CURRENT) do |client|
      assert_equal 3, client.export("Patient").first(3).size
      assert_equal 2, client.export("Patient").lazy.map(&:id).reject(&:empty?).first(2).size
      assert_equal 40, client.export("Patient").each.with_index.to_a.size
      external = client.export("Patient").each
      ids = Array.new(40) { external.next.id }
      assert_equal 40, ids.uniq.size
      assert_raises(StopIteration) { external.next }
      assert_equal 40, client.export("Patient").each_batch.sum(&:size)
      assert_equal 40, client.export("Patient").each_slice(7).sum(&:size)
    end
  end

  def test_without_the_scanner
    types = %w[Patient ExplanationOfBenefit]
    found = [true, false].map do |scanner|
      open(*CURRENT, scanner: scanner, parallel: 1) do |client|
        resources = client.export(*types, fields: ["identifier.value"]).map do |r|
          [r.json, r.line, r.type, r.id, r.last_updated, r.field_values("identifier.value")]
        end
        read_by_yajl = scanner && ENV["BCDA_NO_SCANNER"] != "1" ? 0 : resources.size
        assert_equal read_by_yajl, client.stats[:yajl_lines]
        resources
      end
    end
    assert_equal 240, found[0].size
    assert_equal found[0], found[1]
  end

  def test_batches_say_what_resources_say
    open(*CURRENT) do |client|
      ids = client.export("ExplanationOfBenefit").map(&:id)
      rows = []
      client.export("ExplanationOfBenefit", fields: ["patient.reference", "identifier.value"]).each_batch do |b|
        columns = [b.types, b.ids, b.last_updated, b.json_sizes, b.line_numbers, b.offsets, b.jsons,
                   b.field("patient.reference"), b.field("identifier.value")]
        columns.each { |column| assert_equal b.size, column.size }
        assert_equal b.jsons.map { |j| "#{j}\n" }.join, b.ndjson
        assert_equal Encoding::UTF_8, b.ndjson.encoding
        b.each.with_index do |r, i|
          assert_equal columns.first(7).map { |column| column[i] },
                       [r.type, r.id, r.last_updated, r.bytesize, r.line_number, r.offset, r.json]
          assert_equal b.field("identifier.value")[i], r.field_values("identifier.value")
          rows << r
        end
        assert_nil b[b.size]
        assert_nil b[-1]
      end
      assert_equal ids.sort, rows.map(&:id).sort
      rows.each do |r| # the batches of these resources were already released
        parsed = r.parse
        assert_equal parsed["id"], r.id
        assert_equal parsed["patient"]["reference"], r.field("patient.reference")
        assert_equal parsed["identifier"].map { |i| i["value"] }, r.field_values("identifier.value")
        assert_equal [r.json, r.bytesize], [r.line, r.json.bytesize]
        assert_equal parsed.dig("meta", "lastUpdated"), r.last_updated
      end
      assert_raises(ArgumentError) { rows.first.field("not.asked.for") }
    end
  end

  def test_batch_goes_with_its_block_unless_kept
    open(*CURRENT) do |client|
      given = kept = nil
      client.export("Patient").each_batch { |batch| given = batch }
      assert_raises(Bcda::StateError) { given.ids }
      client.export("Patient").each_batch { |batch| kept = batch.keep }
      client.close
      assert_equal kept.size, kept.ids.size
      assert_equal kept.size, kept.to_a.size
      kept.release
      kept.release
      assert_raises(Bcda::StateError) { kept.ndjson }
    end
  end

  def test_next_batch
    open(*CURRENT) do |client|
      job = client.export("Patient")
      total = 0
      while (batch = job.next_batch)
        total += batch.size
        batch.release
      end
      assert_equal 40, total
      assert_raises(Bcda::StateError) { job.next_batch }
    end
    open(*NEVER) do |client|
      job = client.export("Patient")
      assert_raises(Bcda::TimeoutError) { job.next_batch(timeout: 0.05) }
      refute job.ended? # a timeout does not end the job, unlike leaving a loop
    end
  end

  # An exception arrives after a batch was taken from C and before the application has received it. The next
  # loop must deliver that batch.
  def test_no_batch_is_lost_to_an_interrupt
    open(*CURRENT) do |client|
      job = client.export("Patient", on_bad_line: ->(_) { flunk })
      def job.report_bad_lines(_batch)
        singleton_class.send(:remove_method, :report_bad_lines)
        raise Interrupt
      end
      assert_raises(Interrupt) { job.next_batch }
      assert_equal 40, job.count
    end
  end

  def test_data_comes_once
    open(*CURRENT) do |client|
      job = client.export("Patient")
      assert_equal 40, job.count
      error = assert_raises(Bcda::StateError) { job.each { flunk } }
      assert_match(/taken/, error.message)
    end
  end

  # All ways to loop over the data of a job.
  LOOPS = {
    each: ->(job) { job.each { nil } }, each_batch: ->(job) { job.each_batch { nil } }, count: ->(job) { job.count },
    first: ->(job) { job.first(2) }, enumerator: ->(job) { job.each.next }, of_batches: ->(job) { job.each_batch.next },
    lazy: ->(job) { job.lazy.map(&:id).first(1) }
  }.freeze

  def assert_refused(words, job)
    LOOPS.each do |name, loop|
      error = assert_raises(Bcda::StateError, name.to_s) { loop.call(job) }
      assert_match(words, error.message, name.to_s)
    end
  end

  def test_a_second_loop_after_the_first
    open(*CURRENT) do |client|
      %i[each each_batch].each do |name|
        job = client.export("Patient")
        job.public_send(name) { nil }
        assert_refused(/was taken before/, job)
        assert_raises(Bcda::StateError) { job.next_batch }
        assert_same job, job.wait(:ended)
      end
      job = client.export("Patient")
      job.first(1)
      assert_refused(/left before its end/, job)
    end
  end

  def test_a_second_loop_inside_the_first
    open(*CURRENT, batch_size: 4096) do |client|
      job = client.export("ExplanationOfBenefit")
      refused = 0
      count = job.each.with_index do |_, i|
        next unless i == 3

        assert_refused(/a loop is already taking the data/, job)
        refused += 1
      end
      assert_equal [1, job], [refused, count]
      assert_equal 200, job.resources
    end
  end

  def test_a_second_loop_while_an_enumerator_is_open
    open(*CURRENT, batch_size: 4096) do |client|
      job = client.export("ExplanationOfBenefit")
      enumerator = job.each
      first = enumerator.next
      assert_refused(/a loop is already taking the data/, job)
      rest = []
      loop { rest << enumerator.next }
      assert_equal 200, [first, *rest].map(&:id).uniq.size
      assert_refused(/was taken before/, job)
    end
  end

  def test_a_second_loop_in_another_thread
    open(*CURRENT, batch_size: 4096) do |client|
      job = client.export("ExplanationOfBenefit")
      counts = 0
      job.each_batch do |batch|
        counts += batch.size
        Thread.new { assert_refused(/a loop is already taking the data/, job) }.join
      end
      assert_equal 200, counts
    end
  end

  # A loop that follows next_batch must deliver the remaining batches.
  def test_next_batch_before_a_loop
    open(*CURRENT, batch_size: 4096) do |client|
      job = client.export("ExplanationOfBenefit")
      taken = job.next_batch.size
      assert_equal 200, taken + job.count
    end
  end

  def test_resources_are_what_the_loop_gave
    open("--era", "current", "--polls", "0", "--fault", "error-file") do |client|
      before = client.stats[:resources]
      job = client.export("Patient", on_issue: ->(_) {})
      assert_equal job.count, job.resources
      data, errors = job.files
      assert_equal [false, true], [data.error_file?, errors.error_file?]
      assert_operator errors.resources, :>, 0
      assert_equal [job.resources, job.resources], [data.resources, client.stats[:resources] - before]
    end
  end

  # If requested data is missing, Ruby must issue one warning, which shows a line of the application. With a
  # logger, the warning must go to the logger instead.
  def test_what_is_not_in_the_data
    open("--era", "current", "--polls", "0", "--fault", "error-file") do |client|
      [:each, :each_batch].each do |name|
        job = client.export("Patient")
        _, err = capture_io do
          job.public_send(name) { nil }
          job.wait(:ended)
        end
        assert_match(/\A#{Regexp.escape(__FILE__)}:\d+: warning: bcda: job #{job.id} is complete, but it reports 3 issues of severity error, /, err)
        assert_equal 1, err.lines.size
        assert_equal :complete_errors, job.verdict
      end
      assert_silent { client.export("Patient", on_issue: ->(_) {}).each { nil } }
    end
    lines = StringIO.new
    open("--era", "current", "--polls", "0", "--fault", "error-file", logger: Logger.new(lines)) do |client|
      assert_silent { client.export("Patient").each { nil } }
      assert_match(/WARN -- bcda: job \d+ is complete, but it reports 3 issues of severity error, which on_issue would receive/, lines.string)
    end
    open(*CURRENT) do |client|
      job = client.export("Patient")
      assert_equal [[], 0], [job.missing_types, job.deleted_files]
      assert_silent { job.each { nil } }
      assert_equal [[], 0, :complete], [job.missing_types, job.deleted_files, job.verdict]
    end
  end

  # BCDA in January 2021: if another job that exports Patient was running, the server left Patient out of the
  # next export.
  def test_a_type_that_did_not_come
    sandbox = Sandbox.new("--era", "2021-01", "--polls", "3", duplicates: false)
    Bcda::Client.open(sandbox.url, **sandbox.settings) { |client| client.export("Patient").wait(:running) }
    Bcda::Client.open(sandbox.url, **sandbox.settings, poll_max_ms: 10) do |client|
      job = client.export("Patient", "Coverage")
      assert_equal [], job.missing_types
      _, err = capture_io { assert_equal ["Coverage"], job.map(&:type).uniq }
      assert_match(/the server lists no file for Patient$/, err)
      assert_equal [["Patient"], :complete_errors], [job.missing_types, job.verdict]
      again = client.restore(job.save) # the saved text contains the requested types
      capture_io { again.each { nil } }
      assert_equal ["Patient"], again.missing_types
    end
  ensure
    sandbox&.stop
  end

  def test_files_of_deletions
    open("--era", "current", "--polls", "0", "--fault", "deleted") do |client|
      job = client.export("Patient")
      _, err = capture_io { assert_equal ["Patient"], job.map(&:type).uniq }
      assert_match(/it lists 1 file of deleted resources, not delivered, which on_deletion would receive$/, err)
      assert_equal [1, 0, [], 1, :complete_errors],
                   [job.deleted_files, job.deletions, job.missing_types, job.files.size, job.verdict]
    end
  end

  DELETIONS = [["Patient", "gone-0", 1], ["Coverage", "gone-0", 1], ["Patient", "gone-1", 2], ["Coverage", "gone-1", 2]].freeze

  def test_deletions_in_batches
    open("--era", "current", "--polls", "0", "--patients", "10", "--fault", "deleted", pull_deletions: true) do |client|
      job = client.export("Patient")
      rows = 0
      found = []
      assert_silent do
        job.each_batch do |batch|
          rows += batch.size unless batch.file.deletion_file?
          found.concat(batch.deletions)
        end
      end
      assert_equal [10, DELETIONS], [rows, found.map { |deletion| [deletion.type, deletion.id, deletion.line_number] }]
      assert_equal [4, :complete], [job.deletions, job.verdict]
    end
  end

  # Deletions must be reported after all resources were delivered, and must cause no warning.
  def test_deletions
    open("--era", "current", "--polls", "0", "--patients", "10", "--fault", "deleted") do |client|
      events = []
      job = client.export("Patient", on_deletion: ->(deletion) { events << deletion },
                                     on_file: ->(file, event) { events << [file.deletion_file?, event, file.verdict] })
      assert_silent { job.each { |resource| events << resource.type } }
      ends = [[false, :end, :complete], [true, :end, :complete]]
      assert_equal ["Patient"] * 10, events.grep(String)
      assert_operator events.rindex("Patient"), :<, events.index { |event| event.is_a?(Bcda::Deletion) }
      assert_equal ends, events.grep(Array).select { |_, event| event == :end }
      assert_equal ends.last, events.last
      found = events.grep(Bcda::Deletion)
      assert_equal DELETIONS, found.map { |deletion| [deletion.type, deletion.id, deletion.line_number] }
      assert_equal [[false, false], [true, false]], job.files.map { |file| [file.deletion_file?, file.error_file?] }
      found.each do |deletion|
        assert_same job.files.last, deletion.file
        refute_includes deletion.inspect, deletion.id
      end
      assert_equal [4, 1, 10, :complete], [job.deletions, job.deleted_files, job.resources, job.verdict]
      [[:attach, job.url, DELETIONS], [:restore, job.save, []]].each do |name, start, want| # a restored file is skipped
        found = []
        again = client.public_send(name, start, on_deletion: ->(d) { found << [d.type, d.id, d.line_number] })
        assert_silent { again.each { nil } }
        assert_equal [want, want.size, :complete], [found, again.deletions, again.verdict]
      end
    end
  end

  # An invalid line of a file of deletions must be reported to on_bad_line, although the file has no batches. It
  # fails the file, unless it is tolerated.
  def test_deletions_and_an_invalid_line
    [0, -1].each do |most|
      open("--era", "current", "--polls", "0", "--fault", "deleted", "--fault", "bad-json@Bundle", bad_lines_max: most) do |client|
        found = []
        bad = []
        job = client.export("Patient", on_bad_line: ->(line) { bad << [line.line_number, line.file] },
                                       on_deletion: ->(d) { found << [d.type, d.id, d.line_number] })
        most.zero? ? assert_raises(Bcda::LineError) { job.each { nil } } : job.each { nil }
        assert_equal DELETIONS.take(2), found
        assert_equal [[2, job.files.last]], bad
      end
    end
  end

  def test_several_jobs_of_one_client
    open(*CURRENT) do |client|
      jobs = Array.new(3) { client.export("Patient") }
      assert_equal [40, 40, 40], jobs.map(&:count)
    end
  end

  def test_wait_save_attach_restore
    open(*CURRENT) do |client|
      job = client.export("Patient")
      assert_nil job.url
      assert_raises(Bcda::StateError) { job.save }
      assert_same job, job.wait(:running)
      refute_nil job.url
      assert_equal job.url.split("/").last, job.id
      assert_same job, job.wait
      assert_equal :downloading, job.state
      assert_equal ["Patient"], job.files.map(&:type)
      saved = job.save
      assert_raises(Bcda::StateError) { job.wait(:ended) } # because no loop takes the data
      assert_equal 40, job.count # the failed wait has discarded no data
      assert_same job, job.wait(:ended)
      assert_equal 40, client.attach(job.url).count
      assert_equal 40, client.restore(saved).count
      again = client.restore(job.save)
      assert_equal 0, again.count
      assert_equal [:skipped], again.files.map(&:verdict)
      assert_raises(Bcda::UsageError) { client.restore("nonsense") }
      assert_raises(ArgumentError) { job.wait(:christmas) }
    end
    open(*NEVER) { |client| assert_nil client.export("Patient").wait(timeout: 0.05) }
  end

  def test_what_is_asked_for
    open(*CURRENT) do |client|
      assert_operator client.export("Patient", group: "all").count, :>, 0
      since = client.export("Patient").tap { |job| job.each { nil } }.transaction_time
      client.export("Patient", since: since).each { nil }
      client.export("Patient", since: Time.utc(2020, 1, 1), parameters: { _outputFormat: "application/fhir+ndjson" }).each { nil }
      assert_raises(Bcda::UsageError) { client.export("Patient", since: "yesterday") }
      assert_raises(Bcda::UsageError) { client.export("Patient", "Patient") }
      assert_raises(Bcda::ConfigError) { client.export("Patient", "Coverage", level: :resource) }
      assert_raises(Bcda::ConfigError) { client.export(level: :group) }
      assert_raises(ArgumentError) { client.export(level: :street) }
      assert_raises(ArgumentError) { client.export("Patient", on_wednesday: -> {}) }
      assert_raises(Bcda::UsageError) { client.export("Patient", fields: [""]) }
    end
  end

  def test_issues_and_error_files
    open("--era", "current", "--polls", "0", "--fault", "error-file") do |client|
      issues = []
      job = client.export("Patient", on_issue: ->(issue) { issues << issue })
      types = job.map(&:type).uniq
      assert_equal ["Patient"], types # the resources of error files must not be in the data
      refute_empty issues
      assert_equal issues.group_by(&:severity).transform_values(&:size),
                   Bcda::Issue::SEVERITIES.to_h { |s| [s, job.issue_count(s)] }.reject { |_, n| n.zero? }
      issues.each do |issue|
        assert_equal ["OperationOutcome", true], [issue.resource.type, issue.resource.file.error_file?]
        told = issue.resource.parse["issue"][issue.index]
        assert_equal [told["severity"], told["code"]], [issue.severity.to_s, issue.code]
        assert_raises(ArgumentError) { issue.resource.field("id") }
        refute_includes issue.inspect, issue.text.to_s if issue.text
      end
      assert job.files.last.error_file?
      capture_io { client.export("Patient").each { |r| assert_equal "Patient", r.type } }
    end
  end

  def test_bad_lines
    open("--era", "current", "--polls", "0", "--fault", "bad-json@Patient", bad_lines_max: -1) do |client|
      bad = []
      job = client.export("Patient", on_bad_line: ->(line) { bad << line })
      assert_equal 9, job.count
      line, = bad
      assert_equal [1, 1, 2, "BCDA_ERR_LINE_JSON"], [bad.size, job.bad_lines, line.line_number, line.name]
      assert_equal line.length, line.bytes.bytesize
      assert_equal job.files.first, line.file
      refute_includes line.inspect, line.bytes
      assert_equal [:complete_errors, :complete_bad_lines], [job.verdict, job.files.first.verdict]
    end
  end

  # With on_issue an error file has no batches. Its invalid lines must be reported once in either case.
  def test_bad_lines_of_error_files
    open("--era", "current", "--polls", "0", "--fault", "error-file", "--fault", "bad-json@OperationOutcome", bad_lines_max: -1) do |client|
      [{}, { on_issue: ->(_) {} }].each do |more|
        bad = []
        job = client.export("Patient", on_bad_line: ->(line) { bad << [line.line_number, line.file] }, **more)
        capture_io { job.each { nil } }
        assert_equal [[[2, job.files.last]], 1], [bad, job.bad_lines]
      end
    end
  end

  def test_verified_delivery
    Dir.mktmpdir do |spool|
      open(*ERA_2019, delivery: :verified, spool_directory: spool) do |client|
        client.export("Patient", level: :resource).each { |r| refute r.provisional? }
      end
    end
  end

  def test_decode_threads
    open(*CURRENT, decode_threads: 2, parallel: 2) do |client|
      assert_equal({ "Patient" => 40, "ExplanationOfBenefit" => 200 }, client.export("Patient", "ExplanationOfBenefit").map(&:type).tally)
    end
  end

  def test_metadata_version_stats
    open(*CURRENT) do |client|
      assert_match(/\A\d/, client.metadata.fhir_version)
      assert_equal "CapabilityStatement", client.metadata.parse["resourceType"]
      refute_nil client.server_version(timeout: 60).software_version
      assert_equal Bcda::Client::STATS.keys, client.stats.keys
      assert_operator client.stats[:requests], :>=, 3
    end
  end

  def test_token_provider
    sandbox = Sandbox.shared(*CURRENT)
    issued = fetch_token(sandbox)
    settings = sandbox.settings.reject { |name, _| name.to_s.start_with?("client_") }
    settings[:poll_max_ms] = 10
    asked = 0
    Bcda::Client.open(sandbox.url, **settings, token: -> { asked += 1; [issued, 600] }) do |client|
      assert_equal 40, client.export("Patient").count
    end
    assert_equal 1, asked
    Bcda::Client.open(sandbox.url, **settings, token: issued) do |client|
      assert_equal 40, client.export("Patient").count
    end
    Bcda::Client.open(sandbox.url, **settings, token: -> { raise "no token today" }) do |client|
      job = client.export("Patient")
      assert_equal "no token today", assert_raises(RuntimeError) { job.each { flunk } }.message
    end
  end

  def fetch_token(sandbox)
    require "net/http"
    uri = URI(sandbox.env.fetch("BCDA_TOKEN_URL"))
    http = Net::HTTP.new(uri.host, uri.port)
    http.use_ssl = true
    http.ca_file = sandbox.env.fetch("BCDA_CA_FILE")
    request = Net::HTTP::Post.new(uri, "Accept" => "application/json")
    request.set_form_data({})
    request.basic_auth(sandbox.settings[:client_id], sandbox.settings[:client_secret])
    JSON.parse(http.request(request).body).fetch("access_token")
  end

  def test_logger
    lines = StringIO.new
    open(*CURRENT, logger: Logger.new(lines)) { |client| client.export("Patient").each { nil } }
    assert_match(/bcda\.\w+: /, lines.string)
    refute_includes lines.string, Sandbox.shared(*CURRENT).settings[:client_secret]
    quiet = StringIO.new
    open(*CURRENT, logger: Logger.new(quiet, level: Logger::WARN)) { |client| client.export("Patient").each { nil } }
    assert_empty quiet.string
  end

  def test_nothing_secret_in_inspect
    sandbox = Sandbox.shared(*CURRENT)
    open(*CURRENT) do |client|
      job = client.export("Patient")
      resource = job.first
      text = [client, job, resource, job.files, resource.file].map(&:inspect).join
      refute_includes text, sandbox.settings[:client_secret]
      refute_includes text, resource.id
    end
  end
end
