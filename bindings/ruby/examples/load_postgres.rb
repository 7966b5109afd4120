#!/usr/bin/env ruby
# frozen_string_literal: true

# Loads an export into PostgreSQL, each resource once. Run it again to resume a load that was killed, and later to
# load what has changed.
#
#     load_postgres.rb [--confirm] [TYPE]...
#
# Needs Sequel and pg (Debian: ruby-sequel, ruby-pg). The database is that of libpq's environment (PGHOST,
# PGDATABASE ...), the server that of the variables below, which `bcda-sandbox --print-env` prints. The saved text
# of the job is stored in the transaction that stores a file's resources, so the two never differ. With --confirm,
# rows are also kept inside a file: a load that is resumed continues after the last row.

require "bcda"
require "sequel"

TABLES = <<~SQL
  CREATE TABLE IF NOT EXISTS resource (type text, id text, last_updated timestamptz, json jsonb,
      PRIMARY KEY (type, id));
  CREATE TABLE IF NOT EXISTS bcda_load (since text, next_since text);
  CREATE TABLE IF NOT EXISTS bcda_saved (number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, text text NOT NULL);
  INSERT INTO bcda_load SELECT WHERE NOT EXISTS (SELECT FROM bcda_load);
SQL
STAGED = "TABLE IF NOT EXISTS bcda_staged (file text, line bigint, type text, id text, last_updated timestamptz, json jsonb)"
UPSERT = <<~SQL
  INSERT INTO resource SELECT DISTINCT ON (type, id) type, id, last_updated, json FROM bcda_staged WHERE file = ?
      ORDER BY type, id, last_updated DESC NULLS LAST, line DESC
  ON CONFLICT (type, id) DO UPDATE SET last_updated = excluded.last_updated, json = excluded.json
      WHERE resource.last_updated IS NULL OR excluded.last_updated >= resource.last_updated
SQL
DELETE = "DELETE FROM resource r USING bcda_staged s WHERE s.file = ? AND (r.type, r.id) = (s.type, s.id)"
COLUMNS = %i[file line type id last_updated json].freeze

class Loader
  def initialize(database, confirms)
    @db = database
    @confirms = confirms
    # The session of a program that was killed may still be committing. The lock waits for its end.
    @db.run("SELECT pg_advisory_lock(hashtext('bcda'))")
    @db.run(TABLES)
    # Rows of confirmed lines must survive a crash; so must those of an earlier run with --confirm.
    kept = @db.get(Sequel.lit("to_regclass('bcda_staged') IS NOT NULL"))
    @db.run("CREATE #{'TEMPORARY ' unless confirms || kept}#{STAGED}")
  end

  # Continues the load that the database knows, or begins one. Returns its first job that is known.
  def load(client, types)
    saved = @db[:bcda_saved].order(:number).select_map(:text).join
    request = { since: @db[:bcda_load].get(:since), **callbacks }
    @new = saved.empty?
    return drive(client.export(*types, **request)) if @new

    job = client.restore(saved, **callbacks)
    begin
      drive(job)
    rescue Bcda::NotFoundError, Bcda::GoneError, Bcda::JobError # the server keeps a job for a day only
      keep_time(job)
      @new = true
      rest = client.export_remaining(job, *types, **request)
      drive(rest) if rest
    end
    job
  end

  # The load has ended: the next one exports what changes after the transaction time of its first job.
  def finish(job)
    @db.transaction do
      keep_time(job)
      @db[:bcda_load].update(since: :next_since, next_since: nil)
      @db[:bcda_saved].delete
      @db.drop_table(:bcda_staged)
    end
  end

  private

  def callbacks
    { on_state: method(:on_state), on_file: method(:on_file), on_deletion: method(:on_deletion) }
  end

  def drive(job)
    @job = job
    job.each_batch { |batch| stage(batch) }
    job
  end

  def stage(batch)
    rows = batch.line_numbers.zip(batch.types, batch.ids, batch.last_updated, batch.jsons).map do |line, type, id, updated, json|
      [batch.file.name, line, type, id, updated.empty? ? nil : updated, json]
    end
    @db.transaction do
      @db.copy_into(:bcda_staged, columns: COLUMNS, data: rows.map { |row| copy_line(row) })
      # Rows after the confirmed line are discarded when the file begins again.
      store_changes if @confirms && @job.confirm(batch)
    end
  end

  # A row in the text format of COPY.
  def copy_line(row)
    "#{row.map { |value| value.nil? ? '\N' : value.to_s.gsub(/[\\\t\n\r]/) { |c| "\\#{c}" } }.join("\t")}\n"
  end

  # Stores what has changed in the saved text. The text of a new job replaces that of another one.
  def store_changes
    if @new
      @db[:bcda_saved].delete
      @db[:bcda_staged].delete
      @new = false
    end
    changes = @job.save_changes
    @db[:bcda_saved].insert(text: changes) unless changes.empty?
  end

  def on_state(_)
    @db.transaction { store_changes } if @job.url # from now on, the job at the server is not lost
  end

  # The rows of a file are staged until its end decides whether they are valid. An exception here, such as that of a
  # commit, stops the job, and the file does not count as complete.
  def on_file(file, event)
    staged = @db[:bcda_staged].where(file: file.name)
    @db.transaction do
      if event == :begin || !file.complete?
        staged.where { line > file.confirmed_line }.delete
      elsif !file.error_file?
        @db[file.deletion_file? ? DELETE : UPSERT, file.name].update
        staged.delete
      end
      store_changes
    end
  end

  def on_deletion(deletion)
    @db[:bcda_staged].insert(file: deletion.file.name, line: deletion.line_number, type: deletion.type, id: deletion.id)
  end

  def keep_time(job)
    @db[:bcda_load].where(next_since: nil).update(next_since: job.transaction_time)
  end
end

confirms = ARGV.delete("--confirm")
Sequel.connect(adapter: "postgres", max_connections: 1) do |database|
  Bcda::Client.open(ENV.fetch("BCDA_FHIR_URL"), client_id: ENV.fetch("BCDA_CLIENT_ID"),
                    client_secret: File.read(ENV.fetch("BCDA_CLIENT_SECRET_FILE")).chomp,
                    ca_file: ENV["BCDA_CA_FILE"], private_key: ENV["BCDA_PRIVATE_KEY"],
                    parallel: 4, confirm_lines: confirms ? :staged : :none) do |client|
    loader = Loader.new(database, confirms)
    job = loader.load(client, ARGV)
    loader.finish(job)
    puts "#{job.id}: #{database[:resource].count} resources in the table"
  end
end
