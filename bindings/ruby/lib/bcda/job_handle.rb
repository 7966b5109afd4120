# frozen_string_literal: true

module Bcda
  # The C object of a job, and the data that finalizers use; it does not refer to the job's Ruby object.
  # All methods except the caller of drop are called under the engine's lock.
  # @api private
  class JobHandle
    attr_reader :engine, :pointer, :events, :userdata
    # Batches that were taken and not released, by address.
    attr_reader :open_batches

    def initialize(engine, events, userdata)
      @engine = engine
      @events = events
      @userdata = userdata
      @open_batches = {}
      @slot = FFI::MemoryPointer.new(:pointer)
    end

    # Yields the slot in which C stores the job.
    def start
      @pointer = Native.make { |slot| @engine.check(yield(slot)) }
    end

    # The next batch as a pointer; nil: none yet; :end: after the last batch.
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

    # The job's Ruby object was collected. C ends a job that still runs in its next step.
    def drop
      cancel unless ended?
      release { |function, address| Native.public_send(function, FFI::Pointer.new(address)) }
    end

    # For a finalizer. Without a session only memory is left.
    def self.finalizer(handle)
      proc do
        if handle.engine.closed?
          handle.release { |function, address| ReleaseQueue.add(function, address) }
        else
          handle.engine.drop(handle)
        end
      end
    end

    # Yields each function and address of the held objects, once.
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
