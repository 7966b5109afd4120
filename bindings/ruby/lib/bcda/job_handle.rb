# frozen_string_literal: true

module Bcda
  # The C object of a job, and the data that finalizers use. A handle does not refer to the {Job}, because
  # the finalizer of the job refers to the handle. Instance methods are called under the engine's lock.
  # @api private
  class JobHandle
    attr_reader :engine, :pointer, :events, :userdata, :saved
    # The addresses of the batches that were taken and not released.
    attr_reader :open_batches

    def initialize(engine, events, userdata)
      @engine = engine
      @events = events
      @userdata = userdata
      @saved = SavedText.new(events)
      @open_batches = {}
      @slot = FFI::MemoryPointer.new(:pointer)
    end

    # Yields the slot in which C stores the job.
    def start
      @pointer = Native.make { |slot| @engine.check(yield(slot)) }
    end

    # Returns a pointer to the next batch, nil if none is ready, or :end after the last batch.
    def next_batch
      code = Native.bcda_job_next(@pointer, @slot)
      return nil if code == ABI::ERR_AGAIN
      return :end if code == ABI::ERR_END

      @engine.check(code)
      batch = @slot.read_pointer
      @open_batches[batch.address] = true
      batch
    end

    def ended?
      Native.bcda_job_result(@pointer) != ABI::ERR_AGAIN
    end

    def cancel
      Native.bcda_job_cancel(@pointer)
    end

    def pause
      Native.bcda_job_pause(@pointer)
    end

    def resume
      Native.bcda_job_resume(@pointer)
    end

    # Cancels and releases the job, because its Ruby object was collected. The next step ends a job that
    # still runs.
    def drop
      cancel unless ended?
      release { |function, address| Native.public_send(function, FFI::Pointer.new(address)) }
    end

    # Returns the finalizer of a {Job}. If the session is closed, only memory must be freed, so its engine
    # is not needed.
    def self.finalizer(handle)
      proc do
        if handle.engine.closed?
          handle.release { |function, address| ReleaseQueue.add(function, address) }
        else
          handle.engine.drop(handle)
        end
      end
    end

    # For each C object that is still held, yields the name of the function that releases it, and its
    # address. Forgets these objects, so a second call yields nothing.
    def release
      Trampolines.forget(@userdata)
      while (address, = @open_batches.shift)
        yield :bcda_batch_unref, address
      end
      pointer = @pointer
      @pointer = Native::NULL
      yield :bcda_job_unref, pointer.address if pointer && !pointer.null?
    end
  end
end
