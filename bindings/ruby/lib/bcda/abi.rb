# frozen_string_literal: true

# The ABI of libbcda. Made by bindings/generate from bindings/bcda.cdef. Do not edit.
module Bcda
  # @api private
  module ABI
    TYPES = %i[
      bcda_config
      bcda_session
      bcda_export
      bcda_handlers
      bcda_job
      bcda_file
      bcda_resource
      bcda_batch
      bcda_decoder
      bcda_error
      bcda_request
      bcda_token_request
      bcda_bad_line
      bcda_issue
      bcda_deletion
    ].freeze

    CALLBACKS = {
      bcda_token_provider_cb: [:void, [:ptr, :ptr]],
      bcda_log_cb: [:void, [:int, :str, :str, :ptr]],
      bcda_state_cb: [:int, [:ptr, :int, :ptr]],
      bcda_file_cb: [:int, [:ptr, :ptr, :int, :ptr]],
      bcda_resource_cb: [:int, [:ptr, :ptr, :ptr]],
      bcda_batch_cb: [:int, [:ptr, :ptr, :ptr]],
      bcda_bad_line_cb: [:int, [:ptr, :ptr, :ptr]],
      bcda_issue_cb: [:int, [:ptr, :ptr, :ptr]],
      bcda_deletion_cb: [:int, [:ptr, :ptr, :ptr]],
      bcda_saved_state_cb: [:int, [:ptr, :str, :size, :ptr]],
      bcda_progress_cb: [:int, [:ptr, :ptr]],
      bcda_done_cb: [:void, [:ptr, :int, :ptr]],
      bcda_request_cb: [:void, [:ptr, :int, :ptr]],
      bcda_watch_fd_cb: [:int, [:ptr, :int, :int, :ptr]],
      bcda_watch_timer_cb: [:int, [:ptr, :int64, :ptr]],
      bcda_destroy_cb: [:void, [:ptr]],
    }.freeze

    FUNCTIONS = {
      bcda_batch_ref: [:ptr, [:ptr]],
      bcda_batch_unref: [:void, [:ptr]],
      bcda_batch_count: [:size, [:ptr]],
      bcda_batch_file: [:ptr, [:ptr]],
      bcda_batch_is_provisional: [:int, [:ptr]],
      bcda_batch_resource: [:ptr, [:ptr, :size]],
      bcda_batch_column: [:int, [:ptr, :int, :out_ptr, :out_ptr, :out_ptr]],
      bcda_batch_field_column: [:int, [:ptr, :int, :out_ptr, :out_ptr, :out_ptr, :out_ptr]],
      bcda_batch_line_numbers: [:ptr, [:ptr]],
      bcda_batch_file_offsets: [:ptr, [:ptr]],
      bcda_batch_bad_line_count: [:size, [:ptr]],
      bcda_batch_bad_line: [:ptr, [:ptr, :size]],
      bcda_batch_deletion_count: [:int, [:ptr, :out_size]],
      bcda_batch_deletion: [:ptr, [:ptr, :size]],
      bcda_batch_set_consumed: [:int, [:ptr, :size]],
      bcda_config_new: [:int, [:out_ptr]],
      bcda_config_free: [:void, [:ptr]],
      bcda_config_set_fhir_url: [:int, [:ptr, :str]],
      bcda_config_set_token_url: [:int, [:ptr, :str]],
      bcda_config_add_url_rewrite: [:int, [:ptr, :str, :str]],
      bcda_config_add_allowed_origin: [:int, [:ptr, :str]],
      bcda_config_set_client_credentials: [:int, [:ptr, :str, :str]],
      bcda_config_set_signing_key: [:int, [:ptr, :str, :ptr, :size, :str, :str]],
      bcda_config_set_signing_key_file: [:int, [:ptr, :str, :str, :str, :str]],
      bcda_config_set_scope: [:int, [:ptr, :str]],
      bcda_config_set_no_authentication: [:int, [:ptr]],
      bcda_config_set_bearer_token: [:int, [:ptr, :str]],
      bcda_config_set_token_provider: [:int, [:ptr, :bcda_token_provider_cb, :ptr, :bcda_destroy_cb]],
      bcda_token_request_answer: [:int, [:ptr, :str, :int64]],
      bcda_token_request_fail: [:void, [:ptr]],
      bcda_config_set_token_file: [:int, [:ptr, :str]],
      bcda_config_set_token_command: [:int, [:ptr, :str]],
      bcda_config_set_token_cache: [:int, [:ptr, :str]],
      bcda_config_set_request_budget: [:int, [:ptr, :str]],
      bcda_config_add_private_key_pem: [:int, [:ptr, :ptr, :size, :str]],
      bcda_config_add_private_key_file: [:int, [:ptr, :str, :str]],
      bcda_config_set_ca_file: [:int, [:ptr, :str]],
      bcda_config_set_client_certificate: [:int, [:ptr, :str, :str, :str]],
      bcda_config_add_certificate_origin: [:int, [:ptr, :str]],
      bcda_config_set_proxy: [:int, [:ptr, :str, :str, :str]],
      bcda_config_set_spool_directory: [:int, [:ptr, :str]],
      bcda_config_set_log: [:int, [:ptr, :int, :bcda_log_cb, :ptr, :bcda_destroy_cb]],
      bcda_config_set_int: [:int, [:ptr, :int, :int64]],
      bcda_config_set_str: [:int, [:ptr, :int, :str]],
      bcda_config_get_int: [:int, [:ptr, :int, :out_int64]],
      bcda_config_get_str: [:int, [:ptr, :int, :out_ptr]],
      bcda_option_by_name: [:int, [:str]],
      bcda_option_name: [:str, [:int]],
      bcda_config_error: [:ptr, [:ptr]],
      bcda_decoder_new: [:int, [:out_ptr, :ptr, :ptr]],
      bcda_decoder_free: [:void, [:ptr]],
      bcda_decoder_set_name: [:int, [:ptr, :str]],
      bcda_decoder_set_wrapped_key: [:int, [:ptr, :str, :str]],
      bcda_decoder_set_gzip: [:int, [:ptr, :int]],
      bcda_decoder_add_field: [:int, [:ptr, :str, :out_int]],
      bcda_decoder_write: [:int, [:ptr, :ptr, :size]],
      bcda_decoder_finish: [:int, [:ptr]],
      bcda_decoder_error: [:ptr, [:ptr]],
      bcda_decoder_resources: [:int64, [:ptr]],
      bcda_decoder_bad_lines: [:int64, [:ptr]],
      bcda_decoder_bytes: [:int64, [:ptr]],
      bcda_error_name: [:str, [:int]],
      bcda_error_string: [:str, [:int]],
      bcda_error_ref: [:ptr, [:ptr]],
      bcda_error_unref: [:void, [:ptr]],
      bcda_error_code: [:int, [:ptr]],
      bcda_error_text: [:str, [:ptr]],
      bcda_error_is_retryable: [:int, [:ptr]],
      bcda_error_http_status: [:int, [:ptr]],
      bcda_error_retry_after_ms: [:int64, [:ptr]],
      bcda_error_file: [:str, [:ptr]],
      bcda_error_line: [:int64, [:ptr]],
      bcda_error_offset: [:int64, [:ptr]],
      bcda_error_server_text: [:str, [:ptr]],
      bcda_export_new: [:int, [:out_ptr, :int]],
      bcda_export_free: [:void, [:ptr]],
      bcda_export_new_remaining: [:int, [:out_ptr, :ptr, :ptr]],
      bcda_export_set_group: [:int, [:ptr, :str]],
      bcda_export_add_type: [:int, [:ptr, :str]],
      bcda_export_set_since: [:int, [:ptr, :str]],
      bcda_export_add_type_filter: [:int, [:ptr, :str]],
      bcda_export_set_parameter: [:int, [:ptr, :str, :str]],
      bcda_export_add_field: [:int, [:ptr, :str, :out_int]],
      bcda_export_error: [:ptr, [:ptr]],
      bcda_file_type: [:str, [:ptr]],
      bcda_file_url: [:str, [:ptr]],
      bcda_file_name: [:str, [:ptr]],
      bcda_file_index: [:size, [:ptr]],
      bcda_file_is_error: [:int, [:ptr]],
      bcda_file_has_deletions: [:int, [:ptr]],
      bcda_file_is_encrypted: [:int, [:ptr]],
      bcda_file_bytes_received: [:int64, [:ptr]],
      bcda_file_bytes: [:int64, [:ptr]],
      bcda_file_bytes_expected: [:int64, [:ptr]],
      bcda_file_resources: [:int64, [:ptr]],
      bcda_file_resources_expected: [:int64, [:ptr]],
      bcda_file_bad_lines: [:int64, [:ptr]],
      bcda_file_verdict: [:int, [:ptr]],
      bcda_file_confirmed_line: [:int64, [:ptr]],
      bcda_file_error: [:ptr, [:ptr]],
      bcda_handlers_new: [:int, [:out_ptr]],
      bcda_handlers_free: [:void, [:ptr]],
      bcda_handlers_on_state: [:int, [:ptr, :bcda_state_cb, :ptr, :bcda_destroy_cb]],
      bcda_handlers_on_file: [:int, [:ptr, :bcda_file_cb, :ptr, :bcda_destroy_cb]],
      bcda_handlers_on_resource: [:int, [:ptr, :bcda_resource_cb, :ptr, :bcda_destroy_cb]],
      bcda_handlers_on_batch: [:int, [:ptr, :bcda_batch_cb, :ptr, :bcda_destroy_cb]],
      bcda_handlers_on_bad_line: [:int, [:ptr, :bcda_bad_line_cb, :ptr, :bcda_destroy_cb]],
      bcda_handlers_on_server_issue: [:int, [:ptr, :bcda_issue_cb, :ptr, :bcda_destroy_cb]],
      bcda_handlers_on_deleted: [:int, [:ptr, :bcda_deletion_cb, :ptr, :bcda_destroy_cb]],
      bcda_handlers_on_saved_state: [:int, [:ptr, :bcda_saved_state_cb, :ptr, :bcda_destroy_cb]],
      bcda_handlers_on_progress: [:int, [:ptr, :bcda_progress_cb, :ptr, :bcda_destroy_cb]],
      bcda_handlers_on_done: [:int, [:ptr, :bcda_done_cb, :ptr, :bcda_destroy_cb]],
      bcda_deletion_type: [:str, [:ptr]],
      bcda_deletion_id: [:str, [:ptr]],
      bcda_deletion_resource: [:ptr, [:ptr]],
      bcda_bad_line_code: [:int, [:ptr]],
      bcda_bad_line_number: [:int64, [:ptr]],
      bcda_bad_line_offset: [:int64, [:ptr]],
      bcda_bad_line_length: [:int64, [:ptr]],
      bcda_bad_line_file: [:ptr, [:ptr]],
      bcda_bad_line_bytes: [:ptr, [:ptr, :out_size]],
      bcda_issue_severity: [:int, [:ptr]],
      bcda_issue_code: [:str, [:ptr]],
      bcda_issue_text: [:str, [:ptr]],
      bcda_issue_resource: [:ptr, [:ptr]],
      bcda_issue_index: [:int, [:ptr]],
      bcda_job_start: [:int, [:ptr, :ptr, :ptr, :out_ptr]],
      bcda_job_attach: [:int, [:ptr, :str, :ptr, :ptr, :out_ptr]],
      bcda_job_restore: [:int, [:ptr, :str, :size, :ptr, :ptr, :out_ptr]],
      bcda_job_save: [:int, [:ptr, :out_ptr]],
      bcda_job_save_changes: [:int, [:ptr, :out_ptr]],
      bcda_job_save_to_file: [:int, [:ptr, :str]],
      bcda_job_restore_from_file: [:int, [:ptr, :str, :ptr, :ptr, :out_ptr]],
      bcda_job_confirm: [:int, [:ptr, :ptr, :int64]],
      bcda_job_cancel: [:int, [:ptr]],
      bcda_job_pause: [:int, [:ptr]],
      bcda_job_resume: [:int, [:ptr]],
      bcda_job_next: [:int, [:ptr, :out_ptr]],
      bcda_job_ref: [:ptr, [:ptr]],
      bcda_job_unref: [:void, [:ptr]],
      bcda_job_state: [:int, [:ptr]],
      bcda_job_result: [:int, [:ptr]],
      bcda_job_verdict: [:int, [:ptr]],
      bcda_job_error: [:ptr, [:ptr]],
      bcda_job_url: [:str, [:ptr]],
      bcda_job_id: [:str, [:ptr]],
      bcda_job_is_taken_over: [:int, [:ptr]],
      bcda_job_progress_text: [:str, [:ptr]],
      bcda_job_progress_percent: [:int, [:ptr]],
      bcda_job_transaction_time: [:str, [:ptr]],
      bcda_job_file_count: [:size, [:ptr]],
      bcda_job_file: [:ptr, [:ptr, :size]],
      bcda_job_missing_type_count: [:size, [:ptr]],
      bcda_job_missing_type: [:str, [:ptr, :size]],
      bcda_job_deleted_file_count: [:size, [:ptr]],
      bcda_job_deletions: [:int64, [:ptr]],
      bcda_job_bytes_received: [:int64, [:ptr]],
      bcda_job_bytes: [:int64, [:ptr]],
      bcda_job_bad_lines: [:int64, [:ptr]],
      bcda_job_resources: [:int64, [:ptr]],
      bcda_job_files_ended: [:size, [:ptr]],
      bcda_job_issue_count: [:int64, [:ptr, :int]],
      bcda_request_start: [:int, [:ptr, :int, :bcda_request_cb, :ptr, :bcda_destroy_cb, :out_ptr]],
      bcda_request_ref: [:ptr, [:ptr]],
      bcda_request_unref: [:void, [:ptr]],
      bcda_request_result: [:int, [:ptr]],
      bcda_request_error: [:ptr, [:ptr]],
      bcda_request_body: [:ptr, [:ptr, :out_size]],
      bcda_request_software_version: [:str, [:ptr]],
      bcda_request_fhir_version: [:str, [:ptr]],
      bcda_request_token_url: [:str, [:ptr]],
      bcda_resource_json: [:ptr, [:ptr, :out_size]],
      bcda_resource_line: [:ptr, [:ptr, :out_size]],
      bcda_resource_type: [:str, [:ptr]],
      bcda_resource_id: [:str, [:ptr]],
      bcda_resource_last_updated: [:str, [:ptr]],
      bcda_resource_full_url: [:str, [:ptr]],
      bcda_resource_line_number: [:int64, [:ptr]],
      bcda_resource_offset: [:int64, [:ptr]],
      bcda_resource_is_provisional: [:int, [:ptr]],
      bcda_resource_file: [:ptr, [:ptr]],
      bcda_resource_field_count: [:size, [:ptr, :int]],
      bcda_resource_field: [:int, [:ptr, :int, :size, :out_ptr, :out_size]],
      bcda_global_init: [:int, [:int]],
      bcda_global_cleanup: [:void, []],
      bcda_free: [:void, [:ptr]],
      bcda_session_new: [:int, [:out_ptr, :ptr]],
      bcda_session_free: [:void, [:ptr]],
      bcda_session_run: [:int, [:ptr, :int]],
      bcda_session_fd: [:int, [:ptr]],
      bcda_session_step: [:int, [:ptr]],
      bcda_session_set_loop: [:int, [:ptr, :bcda_watch_fd_cb, :bcda_watch_timer_cb, :ptr, :bcda_destroy_cb]],
      bcda_session_on_fd: [:int, [:ptr, :int, :int]],
      bcda_session_on_timer: [:int, [:ptr]],
      bcda_session_wakeup: [:int, [:ptr]],
      bcda_session_error: [:ptr, [:ptr]],
      bcda_session_stat: [:int, [:ptr, :int, :out_int64]],
      bcda_session_missing_scope: [:str, [:ptr]],
      bcda_version_number: [:int, []],
      bcda_version_string: [:str, []],
    }.freeze

    VERSION_NUMBER = 100
    COLUMN_JSON = 1
    COLUMN_LINE = 2
    COLUMN_TYPE = 3
    COLUMN_ID = 4
    COLUMN_LAST_UPDATED = 5
    COLUMN_FULL_URL = 6
    LOG_ERROR = 1
    LOG_WARNING = 2
    LOG_INFO = 3
    LOG_DEBUG = 4
    OPT_ALLOW_HTTP_LOOPBACK = 1
    OPT_ANSWER_MAX = 2
    OPT_MANIFEST_MAX = 3
    OPT_MANIFEST_ENTRIES_MAX = 4
    OPT_LINE_MAX = 5
    OPT_JSON_DEPTH_MAX = 6
    OPT_HEADERS_MAX = 7
    OPT_ATTEMPTS = 8
    OPT_PARALLEL = 9
    OPT_CONNECT_TIMEOUT_MS = 10
    OPT_LOW_SPEED_BYTES = 11
    OPT_LOW_SPEED_TIME_MS = 12
    OPT_JOB_TIMEOUT_MS = 13
    OPT_POLL_MAX_MS = 14
    OPT_RETRY_MAX_MS = 15
    OPT_RETRY_AFTER_MAX_MS = 16
    OPT_BATCH_SIZE = 17
    OPT_BATCH_DELAY_MS = 18
    OPT_BAD_LINES_MAX = 19
    OPT_GZIP = 20
    OPT_REQUESTS_BURST = 21
    OPT_REQUESTS_PER_SECOND = 22
    OPT_REDIRECTS_MAX = 23
    OPT_DELIVERY = 24
    OPT_CHECK_COUNT = 25
    OPT_DUPLICATE_JOB = 26
    OPT_JOB_RETRIES_MAX = 27
    OPT_DECODE_THREADS = 28
    OPT_CANCEL_AT_SERVER = 29
    OPT_SCANNER = 30
    OPT_CONFIRM_LINES = 31
    OPT_PULL_DELETIONS = 32
    OPT_TOKEN_COMMAND_TIMEOUT_MS = 33
    OPT_USER_AGENT = 100
    CONFIRM_NONE = 0
    CONFIRM_VERIFIED = 1
    CONFIRM_STAGED = 2
    DELIVERY_STREAMING = 0
    DELIVERY_VERIFIED = 1
    DUPLICATE_WAIT = 0
    DUPLICATE_REFUSE = 1
    DUPLICATE_TAKE_OVER = 2
    OK = 0
    ERR_INVALID = -1
    ERR_STATE = -2
    ERR_REENTRANT = -3
    ERR_FORKED = -4
    ERR_OPTION_UNKNOWN = -5
    ERR_OPTION_TYPE = -6
    ERR_OPTION_RANGE = -7
    ERR_UNSUPPORTED = -8
    ERR_CONFIG = -9
    ERR_URL = -10
    ERR_INSECURE_URL = -11
    ERR_AGAIN = -12
    ERR_END = -13
    ERR_TIMEOUT = -14
    ERR_INTERRUPTED = -15
    ERR_NOMEM = -50
    ERR_IO = -51
    ERR_SYSTEM = -52
    ERR_LIBRARY = -53
    ERR_KEY_FORMAT = -54
    ERR_KEY_PASSPHRASE = -55
    ERR_KEY_UNSUPPORTED = -56
    ERR_KEY_FIPS = -57
    ERR_SPOOL = -58
    ERR_SPOOL_FULL = -59
    ERR_RESOLVE = -100
    ERR_CONNECT = -101
    ERR_CONNECT_TIMEOUT = -102
    ERR_TLS = -103
    ERR_TLS_VERIFY = -104
    ERR_TRANSFER = -105
    ERR_STALLED = -106
    ERR_TRUNCATED = -107
    ERR_HTTP = -108
    ERR_HEADERS_TOO_LARGE = -109
    ERR_BODY_TOO_LARGE = -110
    ERR_PROXY = -111
    ERR_STATUS = -200
    ERR_BAD_REQUEST = -201
    ERR_AUTH = -202
    ERR_FORBIDDEN = -203
    ERR_NOT_FOUND = -204
    ERR_GONE = -205
    ERR_TOO_MANY = -206
    ERR_SERVER = -207
    ERR_JOB_FAILED = -208
    ERR_JOB_CANCELLED = -209
    ERR_JOB_TIMEOUT = -210
    ERR_TOKEN = -211
    ERR_NO_LOCATION = -212
    ERR_NOT_JSON = -213
    ERR_MANIFEST = -214
    ERR_REDIRECT = -215
    ERR_ORIGIN = -216
    ERR_DISCOVERY = -217
    ERR_KEY_MISSING = -300
    ERR_KEY_VALUE = -301
    ERR_KEY_UNWRAP = -302
    ERR_KEY_LABEL = -303
    ERR_CIPHER_SHORT = -304
    ERR_TAG = -305
    ERR_GZIP = -306
    ERR_GZIP_CUT = -307
    ERR_LINE_JSON = -308
    ERR_LINE_UTF8 = -309
    ERR_LINE_TOO_LONG = -310
    ERR_LINE_DEPTH = -311
    ERR_LINE_CUT = -312
    ERR_LINE_TYPE = -313
    ERR_BAD_LINES = -314
    ERR_CHANGED = -315
    ERR_LENGTH = -316
    ERR_CHECKSUM = -317
    ERR_COUNT = -318
    ERR_STOPPED = -400
    ERR_CANCELLED = -401
    ERR_CALLBACK = -402
    LEVEL_RESOURCE = 1
    LEVEL_PATIENT = 2
    LEVEL_GROUP = 3
    LEVEL_SYSTEM = 4
    VERDICT_NONE = 0
    VERDICT_COMPLETE = 1
    VERDICT_COMPLETE_BAD_LINES = 2
    VERDICT_FAILED = 3
    VERDICT_SKIPPED = 4
    VERDICT_COMPLETE_ERRORS = 5
    FILE_BEGIN = 1
    FILE_END = 2
    SEVERITY_UNKNOWN = 0
    SEVERITY_INFORMATION = 1
    SEVERITY_WARNING = 2
    SEVERITY_ERROR = 3
    SEVERITY_FATAL = 4
    JOB_STARTING = 1
    JOB_RUNNING = 2
    JOB_DOWNLOADING = 3
    JOB_DONE = 4
    JOB_FAILED = 5
    REQUEST_METADATA = 1
    REQUEST_VERSION = 2
    INIT_NO_GCRYPT = 1
    FD_READ = 1
    FD_WRITE = 2
    STAT_REQUESTS = 1
    STAT_RETRIES = 2
    STAT_TOKENS = 3
    STAT_BYTES_WIRE = 4
    STAT_BYTES_DECODED = 5
    STAT_RESOURCES = 6
    STAT_TRANSFERS = 7
    STAT_WAITS = 8
    STAT_TRANSPORT_NS = 9
    STAT_HASH_NS = 10
    STAT_INFLATE_NS = 11
    STAT_DECRYPT_NS = 12
    STAT_PARSE_NS = 13
    STAT_DELIVER_NS = 14
    STAT_SPOOL_NS = 15
    STAT_SLEEP_NS = 16
    STAT_YAJL_LINES = 17
    STOP = 0
    CONTINUE = 1
    PAUSE = 2
  end
end
