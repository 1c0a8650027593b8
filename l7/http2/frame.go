package http2

import "encoding/binary"

// Preface is what a client's connection begins with (RFC 9113 section 3.4).
const Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

const (
	headerSize = 9
	// MaxFrame is the largest payload that is read and written: the smallest that every peer takes.
	MaxFrame = 16 << 10
	// FrameRoom is the largest frame that is read, with its header: who holds less of one has not enough.
	FrameRoom = headerSize + MaxFrame

	maxWindow     = 1<<31 - 1
	initialWindow = 1<<16 - 1 // RFC 9113 section 6.9.2
	maxStreamID   = 1<<31 - 1
)

type frameType uint8

// RFC 9113 section 6.
const (
	frameData frameType = iota
	frameHeaders
	framePriority
	frameReset
	frameSettings
	framePush
	framePing
	frameGoAway
	frameWindow
	frameContinuation
)

const (
	flagAck        = 0x1
	flagEndStream  = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20
)

// RFC 9113 section 6.5.2.
const (
	settingTableSize     = 0x1
	settingPush          = 0x2
	settingStreams       = 0x3
	settingInitialWindow = 0x4
	settingFrameSize     = 0x5
	settingListSize      = 0x6
	settingConnect       = 0x8 // RFC 8441 section 3
)

// frame is one as it lies in the bytes read.
type frame struct {
	kind    frameType
	flags   uint8
	stream  uint32
	payload []byte
}

func (f *frame) has(flag uint8) bool { return f.flags&flag != 0 }

// appendHeader writes what precedes n bytes of payload.
func appendHeader(dst []byte, n int, kind frameType, flags uint8, stream uint32) []byte {
	dst = append(dst, byte(n>>16), byte(n>>8), byte(n), byte(kind), flags)
	return binary.BigEndian.AppendUint32(dst, stream)
}

func appendSetting(dst []byte, id uint16, value uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(dst, id), value)
}

func appendReset(dst []byte, stream uint32, code Code) []byte {
	return binary.BigEndian.AppendUint32(appendHeader(dst, 4, frameReset, 0, stream), uint32(code))
}

func appendWindow(dst []byte, stream uint32, n int32) []byte {
	return binary.BigEndian.AppendUint32(appendHeader(dst, 4, frameWindow, 0, stream), uint32(n))
}

func appendPing(dst []byte, flags uint8, data []byte) []byte {
	return append(appendHeader(dst, 8, framePing, flags, 0), data...)
}

func appendGoAway(dst []byte, last uint32, code Code, why string) []byte {
	dst = appendHeader(dst, 8+len(why), frameGoAway, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, last)
	dst = binary.BigEndian.AppendUint32(dst, uint32(code))
	return append(dst, why...)
}
