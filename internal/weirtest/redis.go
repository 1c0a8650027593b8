package weirtest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// RedisOptions says what kind of Redis to start; the zero value is plain and open.
type RedisOptions struct {
	TLS      *Certificate // serve TLS, and TLS only, on Addr; clients need no certificate
	Password string
	Args     []string // further settings, as on redis-server's command line: "--name", "value", ...
}

// A RedisServer is a running Redis that saves nothing.
type RedisServer struct {
	*Process
	Addr string // 127.0.0.1:port
}

// Redis starts a Redis server.
func Redis(t testing.TB, o RedisOptions) *RedisServer {
	t.Helper()
	who := unprivileged(t, "redis", "nobody")
	dir := serverDir(t, "redis", who)
	port := FreePort(t)
	r := &RedisServer{Addr: loopback(port)}
	args := []string{"--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", dir}
	if o.TLS == nil {
		args = append(args, "--port", strconv.Itoa(port))
	} else {
		cert := giveCopy(t, o.TLS.CertFile, dir, "server.crt", who)
		key := giveCopy(t, o.TLS.KeyFile, dir, "server.key", who)
		args = append(args, "--port", "0", "--tls-port", strconv.Itoa(port), "--tls-auth-clients", "no",
			"--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert)
	}
	if o.Password != "" {
		args = append(args, "--requirepass", o.Password)
	}
	r.Process = startProcess(t, spec{
		name: "redis " + r.Addr, path: Tool(t, "redis-server"), args: append(args, o.Args...), dir: dir, credential: who,
		ready: func(ctx context.Context) error { return redisAnswers(ctx, r.Addr, o.TLS != nil) },
	})
	return r
}

// redisAnswers reports whether something that speaks Redis answers a PING, be it by asking for a password or by saying that it loads.
func redisAnswers(ctx context.Context, addr string, encrypted bool) error {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	if encrypted {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	var answer [64]byte
	n, err := conn.Read(answer[:])
	if err != nil {
		return err
	}
	if text := string(answer[:n]); !strings.HasPrefix(text, "+") && !strings.HasPrefix(text, "-") {
		return fmt.Errorf("%w: %q", errors.ErrUnsupported, text)
	}
	return nil
}
