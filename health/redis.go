package health

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
)

// redisProber sends PING. A server that wants a password first is alive; one that still loads its data, or that has lost its master
// and may not answer from old data, is not.
type redisProber struct {
	target target
}

// redisLineLimit bounds the answer, which is one line.
const redisLineLimit = 1 << 10

func newRedis(t target, _ Params) (Prober, error) { return redisProber{target: t}, nil }

func (p redisProber) Probe(ctx context.Context, addr netip.AddrPort) error {
	return p.target.visit(ctx, addr, p.talk)
}

func (p redisProber) talk(conn net.Conn) error {
	if err := write(conn, "PING", []byte("*1\r\n$4\r\nPING\r\n")); err != nil {
		return err
	}
	line, err := readRedisLine(conn)
	if err != nil {
		return fmt.Errorf("read the answer to PING: %w", reason(err))
	}
	if err := judgeRedis(line); err != nil {
		return err
	}
	abort(conn)
	return nil
}

// readRedisLine reads one line of the Redis protocol and returns it without its end.
func readRedisLine(r io.Reader) (string, error) {
	line, err := bufio.NewReaderSize(r, redisLineLimit).ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return "", fmt.Errorf("not Redis: line begins with %s", quoted(line))
	case err != nil:
		return "", err
	}
	text, ok := strings.CutSuffix(string(line), "\r\n")
	if !ok {
		return "", fmt.Errorf("not Redis: line is %s", quoted(line))
	}
	return text, nil
}

// judgeRedis returns nil if the answer to PING is that of a server that serves.
func judgeRedis(line string) error {
	if line == "+PONG" {
		return nil
	}
	code, _, _ := strings.Cut(line, " ")
	switch code {
	case "-NOAUTH", "-NOPERM":
		return nil
	case "-LOADING", "-MASTERDOWN":
		return fmt.Errorf("not ready: %s", quoted(line[1:]))
	}
	return fmt.Errorf("answer to PING is %s", quoted(line))
}
