# frozen_string_literal: true

module Bcda
  # A resource that the server has deleted, which a copy of its data must remove.
  class Deletion
    # @return [String] such as "Patient"
    attr_reader :type
    # @return [String] the id of the resource
    attr_reader :id
    # @return [Integer] the number of the line in the decoded file, from 1; one line can list several deletions
    attr_reader :line_number
    # @return [Bcda::DataFile] the file of deletions; if it fails, undo its deletions
    attr_reader :file

    # @api private
    def initialize(type, id, line_number, file)
      @type = type
      @id = id
      @line_number = line_number
      @file = file
    end

    # Copies the values of a bcda_deletion, which is valid only during the callback. Returns the arguments of
    # {.new}, with a pointer in place of the file.
    # @api private
    def self.copy(pointer)
      bundle = Native.bcda_deletion_resource(pointer)
      [Native.text(Native.bcda_deletion_type(pointer)), Native.text(Native.bcda_deletion_id(pointer)),
       Native.bcda_resource_line_number(bundle), Native.bcda_resource_file(bundle)]
    end

    # Does not show the id, which is patient data.
    # @return [String]
    def inspect
      "#<Bcda::Deletion #{type} line #{line_number}>"
    end
  end
end
