# frozen_string_literal: true

module Bcda
  # One issue that the server reported in an error file of the job.
  class Issue
    # FHIR's severities, by their numbers in C.
    SEVERITIES = %i[unknown information warning error fatal].freeze

    # @return [Symbol] one of {SEVERITIES}
    attr_reader :severity
    # @return [String, nil] such as "not-found"
    attr_reader :code
    # The server's text. It may name a beneficiary: never log it.
    # @return [String, nil]
    attr_reader :text
    # @return [Integer] the index of the issue in its OperationOutcome, from 0
    attr_reader :index
    # @return [Bcda::Resource] the whole OperationOutcome; the same for each of its issues
    attr_reader :resource

    # @api private
    def initialize(severity, code, text, index, resource)
      @severity = Names.of(SEVERITIES, severity)
      @code = code
      @text = text
      @index = index
      @resource = resource
    end

    # Copies the values of a bcda_issue, which is valid only during the callback. Returns the arguments of
    # {.new} except the resource, and the data of the resource without its file.
    # @api private
    def self.copy(pointer)
      code, text = [Native.bcda_issue_code(pointer), Native.bcda_issue_text(pointer)].map do |said|
        Native.text(said) unless said.empty?
      end
      [[Native.bcda_issue_severity(pointer), code, text, Native.bcda_issue_index(pointer)],
       Resource.copy(Native.bcda_issue_resource(pointer))]
    end

    # Does not show the text, which may name people.
    # @return [String]
    def inspect
      "#<Bcda::Issue #{severity} #{code}>"
    end
  end
end
