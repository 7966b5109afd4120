# frozen_string_literal: true

module Bcda
  # An error of libbcda. There is a subclass for each kind of error. {#code} and {#name} identify the error
  # exactly; doc/guide/errors.md lists all of them. The message may be logged: it holds no secret and no
  # patient data.
  class Error < StandardError
    # @return [Integer] the error code, such as -305; see {#name}
    attr_reader :code
    # @return [String] the name of the code in the documentation, such as "BCDA_ERR_TAG"
    attr_reader :name
    # @return [Integer, nil] the HTTP status of the answer
    attr_reader :http_status
    # @return [Integer, nil] milliseconds that the server asked to wait (Retry-After)
    attr_reader :retry_after_ms
    # @return [String, nil] the name of the data file, as in its URL
    attr_reader :file
    # @return [Integer, nil] the number of the line in that file, from 1
    attr_reader :line
    # @return [Integer, nil] the offset of that line in the decoded file, in bytes
    attr_reader :offset
    # The server's text. It may name people: show it, do not log it.
    # @return [String, nil]
    attr_reader :server_text

    # @param message [String] what happened
    # @param code [Integer] the error code
    # @param details [Hash] the values of the other attributes, and +retryable+
    def initialize(message = nil, code: ABI::ERR_STATE, **details)
      super(message || TEXTS[code] || Native.text(Native.bcda_error_string(code)))
      @code = code
      @name = Native.text(Native.bcda_error_name(code))
      @retryable = details[:retryable] || false
      @http_status, @retry_after_ms, @file, @line, @offset, @server_text =
        details.values_at(:http_status, :retry_after_ms, :file, :line, :offset, :server_text)
    end

    # Whether a later retry can succeed. The library has then already made as many attempts as its options
    # allow.
    def retryable?
      @retryable
    end

    # Shows the name of the error code and the message.
    # @return [String]
    def inspect
      "#<#{self.class} #{name}: #{message}>"
    end

    # The same error with another text.
    # @api private
    def reworded(message)
      self.class.new(message, code: code, retryable: retryable?, http_status: http_status,
                              retry_after_ms: retry_after_ms, file: file, line: line, offset: offset,
                              server_text: server_text)
    end

    # The class of a code; for a code that this gem does not know, the class of its range.
    # @param code [Integer]
    # @return [Class]
    def self.class_of(code)
      CLASSES.fetch(code) { RANGES.find { |range, _| range.cover?(code) }&.last || Error }
    end

    # @api private
    def self.of_code(code, message = nil)
      class_of(code).new(message, code: code)
    end

    # The exception for a bcda_error. Only +code+ is used if the pointer is NULL, or if its code differs: it
    # then belongs to an earlier call.
    # @api private
    def self.of(pointer, code = nil)
      return of_code(code || ABI::ERR_STATE) if pointer.null? || (code && code != Native.bcda_error_code(pointer))

      code = Native.bcda_error_code(pointer)
      class_of(code).new(TEXTS[code] || Native.text(Native.bcda_error_text(pointer)), code: code, **details(pointer))
    end

    # @api private
    def self.details(pointer)
      {
        retryable: Native.bcda_error_is_retryable(pointer) == 1,
        http_status: known(Native.bcda_error_http_status(pointer), 1),
        retry_after_ms: known(Native.bcda_error_retry_after_ms(pointer), 0),
        file: said(Native.bcda_error_file(pointer)),
        line: known(Native.bcda_error_line(pointer), 1),
        offset: known(Native.bcda_error_offset(pointer), 0),
        server_text: said(Native.bcda_error_server_text(pointer))
      }
    end

    # @api private
    def self.known(number, least)
      number if number >= least
    end

    # @api private
    def self.said(text)
      Native.text(text) unless text.empty?
    end
    private_class_method :details, :known, :said
  end

  # The call or the configuration is wrong.
  class UsageError < Error; end
  # The object is not in a state that allows the call.
  class StateError < UsageError; end
  # The client is closed.
  class ClosedError < StateError; end
  # The client was made before +fork+, and this is the child: make a new one.
  class ForkedError < UsageError; end
  # The option does not exist, or its value is outside its limits.
  class OptionError < UsageError; end
  # A setting is missing or contradicts another, or a URL is invalid.
  class ConfigError < UsageError; end
  # An http URL, which was refused before any byte was sent.
  class InsecureURLError < ConfigError; end
  # The timeout of the caller has expired.
  class TimeoutError < UsageError; end

  # An error on this machine: memory, files, the libraries that libbcda uses.
  class LocalError < Error; end
  # The private key cannot be read: because of its file, its format or its passphrase.
  class PrivateKeyError < LocalError; end
  # The spool directory of verified delivery cannot be written to, or is full.
  class SpoolError < LocalError; end

  # An error on the way between this machine and the server.
  class TransportError < Error; end
  # The host name has no address, or no connection was possible, or connecting took too long.
  class ConnectError < TransportError; end
  # TLS failed: there is no common version, or the certificate is not trusted.
  class TLSError < TransportError; end
  # The proxy cannot be reached, or refuses the request.
  class ProxyError < TransportError; end

  # The server has answered with an error.
  class ServerError < Error; end
  # Wrong or expired credentials, no token, or no token URL found.
  class AuthError < ServerError; end
  # 403: the organization, or this version of the API, is denied.
  class ForbiddenError < ServerError; end
  # 404: no such job or file, or no attribution data yet.
  class NotFoundError < ServerError; end
  # 410: the job is older than a day.
  class GoneError < ServerError; end
  # 429: an identical export is already running, or too many requests.
  class TooManyError < ServerError; end
  # A status 5xx, or an error that the server itself calls transient.
  class UnavailableError < ServerError; end
  # The job failed, was cancelled or took too long at the server.
  class JobError < ServerError; end
  # An answer that does not follow the protocol.
  class ProtocolError < ServerError; end
  # A redirect or URL that may not be followed.
  class OriginError < ServerError; end

  # An error in the bytes of a file. The delivered resources of that file are void.
  class DataError < Error; end
  # The file's key is missing, damaged, or belongs to another key pair or file name.
  class FileKeyError < DataError; end
  # The file is not what the server wrote: altered, cut or extended.
  class TamperedFile < DataError; end
  # An invalid line: a line that is not a FHIR resource.
  class LineError < DataError; end

  # Caused by the application itself: by a callback or a call.
  class HostError < Error; end
  # A callback stopped the job.
  class StoppedError < HostError; end
  # The job was cancelled in this process.
  class CancelledError < HostError; end

  class Error
    # Messages for codes whose text in the library is written for C programs.
    # @api private
    TEXTS = {
      ABI::ERR_FORKED => "the client was made before fork and belongs to the parent process: make a new one in the child",
      ABI::ERR_REENTRANT => "a callback cannot loop, wait or send a request with the client or decoder that called " \
                            "it: do that when the callback has returned",
      ABI::ERR_TIMEOUT => "the timeout has expired before the end of the wait; another wait continues"
    }.freeze
    private_constant :TEXTS

    # The class of each code.
    # @api private
    CLASSES = {
      UsageError => %i[INVALID UNSUPPORTED AGAIN END INTERRUPTED],
      StateError => %i[STATE REENTRANT],
      ForkedError => %i[FORKED],
      OptionError => %i[OPTION_UNKNOWN OPTION_TYPE OPTION_RANGE],
      ConfigError => %i[CONFIG URL],
      InsecureURLError => %i[INSECURE_URL],
      TimeoutError => %i[TIMEOUT],
      LocalError => %i[NOMEM IO SYSTEM LIBRARY],
      PrivateKeyError => %i[KEY_FORMAT KEY_PASSPHRASE KEY_UNSUPPORTED KEY_FIPS],
      SpoolError => %i[SPOOL SPOOL_FULL],
      ConnectError => %i[RESOLVE CONNECT CONNECT_TIMEOUT],
      TLSError => %i[TLS TLS_VERIFY],
      ProxyError => %i[PROXY],
      TransportError => %i[TRANSFER STALLED TRUNCATED HTTP HEADERS_TOO_LARGE BODY_TOO_LARGE],
      ServerError => %i[STATUS BAD_REQUEST],
      AuthError => %i[AUTH TOKEN DISCOVERY],
      ForbiddenError => %i[FORBIDDEN],
      NotFoundError => %i[NOT_FOUND],
      GoneError => %i[GONE],
      TooManyError => %i[TOO_MANY],
      UnavailableError => %i[SERVER],
      JobError => %i[JOB_FAILED JOB_CANCELLED JOB_TIMEOUT],
      ProtocolError => %i[NO_LOCATION NOT_JSON MANIFEST],
      OriginError => %i[REDIRECT ORIGIN],
      FileKeyError => %i[KEY_MISSING KEY_VALUE KEY_UNWRAP KEY_LABEL],
      TamperedFile => %i[CIPHER_SHORT TAG GZIP GZIP_CUT LINE_CUT CHANGED LENGTH CHECKSUM COUNT],
      LineError => %i[LINE_JSON LINE_UTF8 LINE_TOO_LONG LINE_DEPTH LINE_TYPE BAD_LINES],
      StoppedError => %i[STOPPED],
      CancelledError => %i[CANCELLED],
      HostError => %i[CALLBACK]
    }.flat_map { |klass, names| names.map { |name| [ABI.const_get("ERR_#{name}"), klass] } }
     .to_h.freeze
    private_constant :CLASSES

    # The class for codes that a later version of the library has added, by their range.
    # @api private
    RANGES = {
      (-49..-1) => UsageError, (-99..-50) => LocalError, (-199..-100) => TransportError,
      (-299..-200) => ServerError, (-399..-300) => DataError, (-499..-400) => HostError
    }.freeze
    private_constant :RANGES
  end
end
