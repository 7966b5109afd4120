# frozen_string_literal: true

require_relative "helper"

# Jobs that are resumed from a saved text: changes as a journal, confirmed lines, and the export of what a job
# that the server no longer has did not load.
class TestResume < BcdaTest
  TYPES = %w[Patient Coverage ExplanationOfBenefit].freeze
  FILES = %w[--era current --polls 0 --patients 12 --claims 5 --files 5].freeze
  STAGED = { confirm_lines: :staged, bad_lines_max: -1, batch_size: 4096, parallel: 1 }.freeze
  LINES = 3000
  BAD = [7, 1500, LINES].freeze # the last line of the file is invalid, too
  WANT = (1..LINES).reject { |i| BAD.include?(i) }.map { |i| "p#{i}" }.freeze

  # A store with transactions: what a program has committed, and the saved text that was committed with it.
  class Store
    attr_reader :ids, :saved

    def initialize
      @saved = +""
      @ids = []
      @open = Hash.new { |hash, name| hash[name] = [] }
    end

    def take(batch)
      @open[batch.file.name].concat(batch.ids)
    end

    def commit(job, file)
      changes = job.save_changes # may raise: then nothing is stored
      @ids.concat(@open.delete(file.name) || [])
      @saved << changes
    end

    def forget
      @open.clear
    end
  end

  # Runs the job of a store once. Yields a file that has ended.
  def run_once(store, **options)
    open(*FILES, **options) do |client|
      job = nil
      on_file = ->(file, event) { yield job, file if event == :end && file.complete? }
      job = store.saved.empty? ? client.export(*TYPES, on_file: on_file) : client.restore(store.saved, on_file: on_file)
      job.each_batch { |batch| store.take(batch) }
      job
    end
  end

  def want
    @want ||= open(*FILES) { |client| client.export(*TYPES).map(&:id).sort }
  end

  # The program ends after each file: after the commit of that file, while the ends of other files may already
  # be queued. It continues from what it has committed.
  [1, 8].each do |parallel|
    define_method(:"test_each_file_once_with_#{parallel}_downloads") do
      store = Store.new
      runs = 0
      loop do
        runs += 1
        done = catch(:killed) do
          run_once(store, parallel: parallel) do |job, file|
            store.commit(job, file)
            throw :killed, nil
          end
        end
        break if done

        store.forget
      end
      assert_equal 8, runs # one file for each of two types, and five of ExplanationOfBenefit
      assert_equal want, store.ids.sort
    end
  end

  # The ends of all files are queued before the first is reported. In the proc of each end, the text lists only
  # the files whose ends were reported, whether it is the whole text or the changes.
  def test_ends_that_are_queued
    open(*FILES, parallel: 8) do |client|
      ended = []
      texts = []
      journal = +""
      job = nil
      job = client.export(*TYPES, on_file: lambda { |file, event|
        next unless event == :end

        ended << file.name
        journal << job.save_changes
        texts << [ended.sort, journal.dup]
        next unless ended.size == 4

        journal = job.save # replaces the changes
        texts << [ended.sort, journal.dup]
      })
      take_all(job)
      job.dispatch
      texts << [ended.sort, job.save]
      assert_equal [1, 2, 3, 4, 4, 5, 6, 7, 7], texts.map { |names, _| names.size }
      texts.each { |names, saved| assert_equal names, skipped(client, saved) }
    end
  end

  # If the proc of one file fails, the files whose ends are queued behind it cannot be saved: the text would have
  # to list them without that file.
  def test_ends_behind_one_that_fails
    open(*FILES, parallel: 8) do |client|
      refused = []
      first = true
      job = nil
      job = client.export(*TYPES, on_file: lambda { |_, event|
        next if event == :begin
        raise EOFError if first.tap { first = false }

        refused << assert_raises(Bcda::StateError) { job.save_changes } << assert_raises(Bcda::StateError) { job.save }
      })
      take_all(job)
      assert_raises(EOFError) { job.dispatch }
      assert_equal ["on_file has failed for another file before, so this file cannot be saved"], refused.map(&:message).uniq
      assert_equal 12, refused.size
      assert_equal [], skipped(client, job.save)
    end
  end

  # What is saved while the ends of files are queued: nothing of these files, or the lines that were confirmed.
  def test_saving_while_ends_are_queued
    [{}, { confirm_lines: :staged }].each do |options|
      [%i[save], %i[save_changes], %i[save_changes save_changes], %i[save_changes save]].each do |calls|
        open(*FILES, **options) do |client|
          job = client.export(*TYPES, on_file: ->(_, _) {})
          take_all(job)
          file = job.files.first
          assert job.confirm(file, file.resources) if options.any?
          saved = calls.inject(+"") { |text, call| call == :save ? job.save : text + job.public_send(call) }
          assert_equal options.any? ? [file.name] : [], skipped(client, saved), calls
          job.dispatch
          assert_equal 7, skipped(client, saved + job.save_changes).size if options.empty?
        end
      end
    end
  end

  # Takes all batches and reports no event.
  def take_all(job)
    handle = job.instance_variable_get(:@handle)
    loop do
      batch = handle.engine.run(nil) { handle.next_batch }
      break if batch.is_a?(Symbol)

      Bcda::Batch.new(batch, owner: handle.open_batches).release
    end
  end

  def skipped(client, saved)
    rest = client.restore(saved)
    rest.each { nil }
    rest.files.select { |file| file.verdict == :skipped }.map(&:name).sort
  end

  # A file whose proc raises is not complete: the next text says so, also if the text that was made before was
  # kept.
  def test_a_commit_that_fails
    store = Store.new
    seen = []
    job = nil
    assert_raises(EOFError) do
      run_once(store, parallel: 1) do |running, file|
        job = running
        seen << file.name
        store.commit(job, file)
        raise EOFError if seen.size == 2
      end
    end
    [store.saved + job.save_changes, job.save].each do |saved|
      open(*FILES) { |client| assert_equal seen.first(1), skipped(client, saved) }
    end
    assert_equal "", job.save_changes
  end

  def test_only_changes
    open(*FILES, parallel: 1) do |client|
      job = client.export(*TYPES)
      texts = []
      job.each_batch do
        texts << job.save_changes
        assert_equal "", job.save_changes
      end
      texts << job.save_changes
      lines = texts.join.split("\n")
      assert_equal "", lines.shift
      lines.each { |line| JSON.parse(line) }
      assert_operator texts.last.size, :<, job.save.size
      [texts.join, texts.join.strip, "#{texts.join}\n"].each do |saved|
        again = client.restore(saved)
        assert_equal 0, again.count
        assert_equal [:skipped], again.files.map(&:verdict).uniq
      end
      assert_raises(Bcda::UsageError) { client.restore(texts.join.sub("complete", "Complete")) }
    end
  end

  # ---- confirmed lines

  def with_lines(lines = LINES, bad = BAD)
    Dir.mktmpdir do |folder|
      text = (1..lines).map { |i| bad.include?(i) ? "not a resource\n" : format(%({"resourceType":"Patient","id":"p%d","x":"%040d"}\n), i, i) }
      File.write(File.join(folder, "Patient.ndjson"), text.join)
      sandbox = Sandbox.new("--era", "current", "--polls", "0", "--data", folder)
      begin
        yield ->(**options, &block) { Bcda::Client.open(sandbox.url, **sandbox.settings, poll_max_ms: 10, **STAGED, **options, &block) }
      ensure
        sandbox.stop
      end
    end
  end

  # The program is ended again and again, after it has taken a batch that it does not commit.
  def test_confirmed_batches
    with_lines do |opener|
      found = []
      bad = []
      saved = +""
      runs = 0
      over = false
      until over
        runs += 1
        opener.call do |client|
          job = saved.empty? ? client.export("Patient") : client.restore(saved)
          commits = 0
          over = job.each_batch do |batch|
            assert_equal batch.file.confirmed_line + 1, first_line(batch) if commits.zero?
            break false if commits == 2

            assert job.confirm(batch)
            assert_equal batch.last_line, batch.file.confirmed_line
            found.concat(batch.ids)
            bad.concat(batch.bad_lines.map(&:line_number))
            saved << job.save_changes
            commits += 1
          end
          saved << job.save_changes if over # the file has ended after its last line was confirmed
        end
      end
      assert_operator runs, :>, 10
      assert_equal [WANT, BAD], [found, bad]
      opener.call { |client| assert_equal 1, skipped(client, saved).size }
    end
  end

  def first_line(batch)
    [batch.line_numbers.first, batch.bad_lines.first&.line_number].compact.min
  end

  def test_verified_and_single_lines
    with_lines do |opener|
      Dir.mktmpdir do |folder|
        opener.call(delivery: :verified, spool_directory: folder, confirm_lines: :verified) do |client|
          job = client.export("Patient")
          job.each do |resource|
            assert job.confirm(resource.file, resource.line_number)
            break if resource.id == "p1000"
          end
          assert_equal WANT.drop(WANT.index("p1000") + 1), client.restore(job.save).map(&:id)
        end
      end
    end
  end

  # With a proc on_file, a file is complete after the confirmation of its last line too, and not before.
  def test_complete_with_its_last_line_only
    with_lines do |opener|
      opener.call do |client|
        [LINES - 1, LINES].each do |line|
          job = client.export("Patient", on_file: ->(_, _) {})
          assert_equal WANT.size, job.count
          assert job.confirm(job.files.first, line)
          assert_equal(line == LINES ? 1 : 0, skipped(client, job.save).size)
        end
      end
    end
  end

  # The library remembers the ends of about a thousand batches.
  def test_too_late
    with_lines(60_000, []) do |opener|
      opener.call do |client|
        job = client.export("Patient")
        lines = job.each_batch.map(&:last_line)
        assert_operator lines.size, :>, 1024
        refute job.confirm(job.files.first, lines.first)
        assert_equal 0, job.files.first.confirmed_line
        assert job.confirm(job.files.first, lines.last)
        assert_equal 60_000, job.files.first.confirmed_line
      end
    end
  end

  # ---- a job that the server no longer has

  # Yields a client and a restored job that has failed.
  def lose
    sandbox = Sandbox.new("--era", "current", "--polls", "0", "--fault", "job-expires-after:1")
    Bcda::Client.open(sandbox.url, **sandbox.settings, poll_max_ms: 10, parallel: 1) do |client|
      journal = +""
      job = nil
      job = client.export(*TYPES, on_file: ->(file, event) { journal << job.save_changes if event == :end && file.complete? })
      assert_raises(Bcda::ServerError) { job.each { nil } }
      restored = client.restore(journal)
      assert_includes [Bcda::NotFoundError, Bcda::GoneError], assert_raises(Bcda::ServerError) { restored.each { nil } }.class
      yield client, restored
    end
  ensure
    sandbox&.stop
  end

  def test_an_expired_job
    lose do |client, job|
      assert_equal TYPES.sort, job.files.map(&:type).sort
      assert_equal({ none: 2, skipped: 1 }, job.files.map(&:verdict).tally.sort.to_h)
      refute_nil job.transaction_time
      missing = job.files.select { |file| file.verdict == :none }.map(&:type)
      begun = []
      rest = client.export_remaining(job, *TYPES, fields: ["id"], on_file: ->(file, _) { begun << file.type })
      # The fault holds for the new job, too.
      assert_raises(Bcda::ServerError) { rest.each { |resource| assert_equal resource.id, resource.field("id") } }
      assert_equal missing.sort, rest.files.map(&:type).sort
      refute_empty begun & missing
    end
  end

  def test_nothing_remains
    open(*CURRENT) do |client|
      job = client.export("Patient")
      assert_equal 40, job.count
      assert_nil client.export_remaining(job, "Patient")
      assert_equal 40, client.export_remaining(client.export("Patient"), "Patient").count # without a manifest: all
    end
  end
end
