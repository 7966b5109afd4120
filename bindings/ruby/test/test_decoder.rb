# frozen_string_literal: true

require_relative "helper"
require "openssl"
require "stringio"
require "zlib"

class TestDecoder < BcdaTest
  KEY = OpenSSL::PKey::RSA.new(2048)
  LINES = Array.new(500) { |i| %({"resourceType":"Patient","id":"#{i}","name":[{"family":"F#{i}"},{"family":"G"}]}\n) }.freeze
  PLAIN = LINES.join.freeze

  def decode(bytes, **settings)
    decoder = Bcda::Decoder.new(**settings)
    found = []
    decoder.read(StringIO.new(bytes)) { |resource| found << resource }
    [decoder, found]
  ensure
    decoder&.close
  end

  # Encrypts as BCDA did until 2020: with a random AES key, which is wrapped with the test's public key
  # (OAEP, with the file name as label). The file is the nonce, the ciphertext and the tag.
  def encrypt(text, label)
    cipher = OpenSSL::Cipher.new("aes-256-gcm").encrypt
    key = cipher.random_key
    nonce = cipher.random_iv
    stored = nonce + cipher.update(text) + cipher.final + cipher.auth_tag
    [stored, wrap(key, label)]
  end

  def wrap(key, label)
    KEY.public_encrypt(oaep(key, label, KEY.n.num_bytes), OpenSSL::PKey::RSA::NO_PADDING).unpack1("H*")
  end

  # OAEP padding with SHA-256 and a label (RFC 8017), because Ruby's openssl does not support the label.
  def oaep(message, label, size)
    hash = ->(data) { OpenSSL::Digest::SHA256.digest(data) }
    mask = ->(seed, length) { (0..length / 32).map { |i| hash.call(seed + [i].pack("N")) }.join[0, length] }
    xor = ->(a, b) { a.bytes.zip(b.bytes).map { |x, y| x ^ y }.pack("C*") }
    block = hash.call(label) + "\0" * (size - message.bytesize - 66) + "\x01" + message
    seed = OpenSSL::Random.random_bytes(32)
    masked = xor.call(block.b, mask.call(seed, block.bytesize))
    "\0".b + xor.call(seed, mask.call(masked, 32)) + masked
  end

  def test_plain
    decoder, found = decode(PLAIN, fields: ["name.family"])
    assert_equal LINES.map(&:chomp), found.map(&:json)
    assert_equal %w[F7 G], found[7].field_values("name.family")
    assert_nil found[7].file
    assert_raises(Bcda::StateError) { decoder.resources }
  end

  def test_in_pieces_of_any_size
    decoder = Bcda::Decoder.new
    ids = []
    PLAIN.bytes.each_slice(37) { |piece| decoder.write(piece.pack("C*")) { |r| ids << r.id } }
    decoder.finish { |r| ids << r.id }
    assert_equal (0...500).map(&:to_s), ids
    assert_equal [500, 0, PLAIN.bytesize], [decoder.resources, decoder.bad_lines, decoder.bytes]
  end

  def test_a_file_comes_once
    decoder = Bcda::Decoder.new
    decoder.read(StringIO.new(PLAIN)) { nil }
    [-> { decoder.finish }, -> { decoder.write(PLAIN) }, -> { decoder.read(StringIO.new(PLAIN)) { flunk } }].each do |again|
      assert_match(/finished/, assert_raises(Bcda::StateError, &again).message)
    end
    decoder.close
  end

  def test_gzip_of_several_members
    _, found = decode(LINES.each_slice(100).map { |part| Zlib.gzip(part.join) }.join, gzip: true)
    assert_equal 500, found.size
    error = assert_raises(Bcda::TamperedFile) { decode(Zlib.gzip(PLAIN)[0..-5], gzip: true, name: "claims") }
    assert_equal "BCDA_ERR_GZIP_CUT", error.name
    assert_includes error.message, "claims"
  end

  def test_a_file_that_expands_a_thousandfold
    bomb = Zlib.gzip((" " * 999 + "\n") * 50_000 + PLAIN)
    _, found = decode(bomb, gzip: true)
    assert_equal 500, found.size
  end

  def test_bad_lines
    bad = []
    _, found = decode("#{PLAIN}nonsense\n", bad_lines_max: -1, on_bad_line: ->(line) { bad << line })
    assert_equal [500, [501], ["nonsense"]], [found.size, bad.map(&:line_number), bad.map(&:bytes)]
    assert_nil bad.first.file
    assert_raises(Bcda::LineError) { decode("#{PLAIN}nonsense\n") }
  end

  def test_only_checked
    decoder = Bcda::Decoder.new
    assert_equal 500, decoder.write(PLAIN).finish.resources
  end

  def test_an_exception_comes_out_and_the_rest_is_dropped
    decoder = Bcda::Decoder.new
    assert_equal :out, catch(:out) { decoder.write(PLAIN * 20) { throw :out, :out } }
    assert_raises(Bcda::StateError) { decoder.write(PLAIN) { flunk } }
    decoder = Bcda::Decoder.new
    assert_raises(IOError) { decoder.write(PLAIN * 20) { raise IOError } }
    decoder.close
    decoder.close
    assert_raises(Bcda::StateError) { decoder.write("x") }
  end

  def test_an_error_is_told_again
    decoder = Bcda::Decoder.new(gzip: true)
    2.times { assert_raises(Bcda::TamperedFile) { decoder.write("this is no gzip, and long enough to tell") } }
  end

  def test_settings
    assert_raises(Bcda::FileKeyError) { Bcda::Decoder.new(wrapped_key: "zz", label: "x", private_key: KEY) }
    assert_raises(Bcda::FileKeyError) { Bcda::Decoder.new(wrapped_key: "00" * 256, label: "x") }
    assert_raises(Bcda::PrivateKeyError) { Bcda::Decoder.new(private_key: "-----BEGIN RSA") }
    assert_raises(Bcda::OptionError) { Bcda::Decoder.new(nonsense: 1) }
    assert_raises(Bcda::UsageError) { Bcda::Decoder.new(fields: ["a..b"]) }
  end

  def test_decrypt_file
    Dir.mktmpdir do |folder|
      stored, key = encrypt(PLAIN, "original.ndjson")
      path = File.join(folder, "here.ndjson")
      File.binwrite(path, stored)
      settings = { wrapped_key: key, private_key: KEY, label: "original.ndjson" }
      ids = []
      assert_equal 500, Bcda.decrypt_file(path, **settings) { |r| ids << r.id }
      assert_equal 500, ids.uniq.size
      out = File.join(folder, "out.ndjson")
      assert_equal 500, Bcda.decrypt_file(path, **settings, to: out)
      assert_equal PLAIN, File.binread(out)
      assert_raises(Bcda::FileKeyError) { Bcda.decrypt_file(path, **settings, label: nil) { nil } }
      refused(path, stored, settings, folder)
      assert_raises(ArgumentError) { Bcda.decrypt_file(path, **settings) }
      assert_raises(Errno::ENOENT) { Bcda.decrypt_file(File.join(folder, "none"), **settings) { nil } }
    end
  end

  # Decrypting an altered file must fail, and must leave no output file and no temporary file.
  def refused(path, stored, settings, folder)
    stored.setbyte(1000, stored.getbyte(1000) ^ 1)
    File.binwrite(path, stored)
    out = File.join(folder, "never.ndjson")
    assert_raises(Bcda::TamperedFile) { Bcda.decrypt_file(path, **settings, to: out) }
    assert_equal %w[here.ndjson out.ndjson], Dir.children(folder).sort
  end

  def test_gc_stress
    GC.stress = true
    decoder = Bcda::Decoder.new
    found = decoder.write(LINES.first(3).join) { nil }.finish { nil }.resources
    GC.stress = false
    assert_equal 3, found
  ensure
    GC.stress = false
  end

  def test_no_leak
    before = Bcda::Trampolines.count
    200.times { Bcda::Decoder.new(private_key: KEY).write(LINES.first) }
    elsewhere { Bcda::Decoder.new }
    until_true do
      GC.start
      Bcda::Trampolines.count <= before + 1
    end
    Bcda::Engine.sweep
  end
end
