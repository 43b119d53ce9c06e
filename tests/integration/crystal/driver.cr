# SPDX-License-Identifier: MIT
#
# usage: driver HOST PORT PATH TOKEN MODULE_ID
#
# A driver of today's platform. Its transport is Crystal's own HTTP::WebSocket, as that of the public drivers is; from them
# are the two headers, how it tries again (1 s, doubled up to 10 s, and up to half a second more), the pong, and that a
# message is parsed as one frame, which raises where it is none. What happens is told on stdout, a line each; stdin takes
# `write IP ID HEX`, `close IP ID` and `end`.
require "http/web_socket"

class Driver
  NAMES = %w(OPENED CLOSED RECEIVED WRITE CLOSE)

  def initialize(@host : String, @port : Int32, @path : String, @token : String, @module_id : String)
    @socket = nil.as(HTTP::WebSocket?)
  end

  def headers
    HTTP::Headers{"Authorization" => "Bearer #{@token}", "X-Module-ID" => @module_id}
  end

  def run
    wait = 1.0
    loop do
      begin
        @socket = socket = HTTP::WebSocket.new(@host, @path, @port, nil, headers)
        wait = 1.0
        say "connected"
        consume(socket)
      rescue error
        say "refused #{error.message}"
      end
      sleep(wait + rand * 0.5)
      wait = {wait * 2, 10.0}.min
    end
  end

  def consume(socket)
    socket.on_ping { |message| say "ping"; socket.pong(message) }
    socket.on_binary { |bytes| take(bytes) }
    socket.on_message { |text| take(text.to_slice) }
    socket.on_close { |code, reason| say "close #{code.value} #{reason}" }
    socket.run
    say "disconnected"
  rescue error
    say "disconnected #{error.message}"
  end

  def take(bytes)
    io = IO::Memory.new(bytes)
    type = NAMES[io.read_byte.not_nil!]
    ip = io.gets('\0').not_nil!.chomp('\0')
    id = io.read_bytes(UInt64, IO::ByteFormat::BigEndian)
    data = Bytes.new(io.read_bytes(UInt32, IO::ByteFormat::BigEndian))
    io.read_fully(data)
    raise "#{bytes.size - io.pos} bytes more" if io.pos != bytes.size
    say "#{type} #{ip} #{id} #{data.hexstring}"
  end

  def order(type, ip, id, data)
    io = IO::Memory.new
    io.write_byte(NAMES.index!(type).to_u8)
    io << ip
    io.write_byte(0_u8)
    io.write_bytes(id, IO::ByteFormat::BigEndian)
    io.write_bytes(data.size.to_u32, IO::ByteFormat::BigEndian)
    io.write(data)
    @socket.try &.send(io.to_slice)
  end

  def follow(line)
    words = line.split
    case words[0]
    when "write" then order("WRITE", words[1], words[2].to_u64, words[3].hexbytes)
    when "close" then order("CLOSE", words[1], words[2].to_u64, Bytes.empty)
    when "end"   then exit 0
    end
  end

  def say(line)
    puts line
    STDOUT.flush
  end
end

driver = Driver.new(ARGV[0], ARGV[1].to_i, ARGV[2], ARGV[3], ARGV[4])
spawn { driver.run }
while line = gets
  driver.follow(line)
end
