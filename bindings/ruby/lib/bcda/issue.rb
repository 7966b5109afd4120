# frozen_string_literal: true

module Bcda
  # One issue that the server reported in an error file of the job.
  class Issue
    # FHIR's severities, by the number that C has for them.
    SEVERITIES = %i[unknown information warning error fatal].freeze

    # @return [Symbol] one of {SEVERITIES}
    attr_reader :severity
    # @return [String, nil] such as "not-found"
    attr_reader :code
    # What the server says. It may name a beneficiary: never log it.
    # @return [String, nil]
    attr_reader :text
    # @return [Integer] its number within its OperationOutcome, from 0
    attr_reader :index
    # @return [Bcda::Resource] the whole OperationOutcome; the same for each of its issues
    attr_reader :resource

    # @api private
    def initialize(issue, index, resource)
      severity = issue["severity"]
      @severity = SEVERITIES.find { |known| known.to_s == severity.to_s.downcase } || :unknown
      @code = text_of(issue["code"])
      @text = words(issue)
      @index = index
      @resource = resource
    end

    # The issues of an OperationOutcome. A line that is none tells nothing.
    # @api private
    def self.all(resource)
      outcome = resource.parse
      return [] unless outcome["resourceType"] == "OperationOutcome" && outcome["issue"].is_a?(Array)

      outcome["issue"].grep(Hash).each_with_index.map { |issue, i| new(issue, i, resource) }
    rescue JSON::ParserError
      []
    end

    # Without the text, which may name people.
    # @return [String]
    def inspect
      "#<Bcda::Issue #{severity} #{code}>"
    end

    private

    # The first of those that is there (doc/guide/server.md 8.1).
    def words(issue)
      coding = issue.dig("details", "coding")
      coding = coding.is_a?(Array) && coding.first.is_a?(Hash) ? coding.first : {}
      [issue["diagnostics"], issue.dig("details", "text"), coding["display"], coding["code"]]
        .map { |value| text_of(value) }.compact.first
    rescue TypeError
      nil
    end

    def text_of(value)
      value if value.is_a?(String) && !value.empty?
    end
  end
end
