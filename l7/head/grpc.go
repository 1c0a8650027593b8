package head

const grpc = "application/grpc"

// IsGRPC reports whether a Content-Type is that of gRPC: application/grpc, with or without the coding of its messages
// (application/grpc+proto). That of gRPC-Web is not.
func IsGRPC(contentType []byte) bool {
	if len(contentType) < len(grpc) || !EqualFold(contentType[:len(grpc)], grpc) {
		return false
	}
	rest := contentType[len(grpc):]
	return len(rest) == 0 || rest[0] == '+' || rest[0] == ';' || rest[0] == ' '
}
