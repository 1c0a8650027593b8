package http1

import "strconv"

// AppendChunk writes data as one chunk. Empty data is nothing: an empty chunk
// would end the body.
func AppendChunk(dst, data []byte) []byte {
	if len(data) == 0 {
		return dst
	}
	dst = AppendChunkSize(dst, int64(len(data)))
	dst = append(dst, data...)
	return AppendChunkEnd(dst)
}

// AppendChunkSize writes what precedes the data of a chunk of n > 0 bytes.
// AppendChunkEnd follows the data.
func AppendChunkSize(dst []byte, n int64) []byte {
	dst = strconv.AppendInt(dst, n, 16)
	return append(dst, "\r\n"...)
}

// AppendChunkEnd writes what follows the data of a chunk.
func AppendChunkEnd(dst []byte) []byte { return append(dst, "\r\n"...) }

// AppendLastChunk writes the end of a chunked body without trailers.
func AppendLastChunk(dst []byte) []byte { return append(dst, "0\r\n\r\n"...) }
