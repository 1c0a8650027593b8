package admin

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Options says what a Server shows and what it can do. Weir is required; a command that is nil answers 501.
type Options struct {
	Weir  Weir
	Log   *slog.Logger // nil: nothing is logged
	Pprof bool         // serve /debug/pprof/

	// Config returns the effective configuration as JSON. It may block.
	Config func(context.Context) ([]byte, error)
	// Reload loads the configuration again and returns when it is in force, or why it is not. It may block.
	Reload func(context.Context) error
	// SetLogLevel sets the level of the program's log: debug, info, warn or error.
	SetLogLevel func(level string) error

	Commands // of operators, to the cluster
}

// Deadlines and limits of the admin endpoint. An answer may take as long as a CPU profile of half a minute.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 10 * time.Second
	writeTimeout      = 60 * time.Second
	idleTimeout       = 60 * time.Second
	maxHeaderBytes    = 16 << 10
	maxBodyBytes      = 4 << 10
	maxScrapes        = 4 // at one time
)

// Server is the admin endpoint.
type Server struct {
	o       Options
	http    *http.Server
	metrics http.Handler
}

// New returns a server. It serves once Serve is called.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{o: o, metrics: newMetricsHandler(o)}
	s.http = &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		Protocols:         &http.Protocols{},
		ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}
	s.http.Protocols.SetHTTP1(true)
	return s
}

// Serve answers requests until the listener fails or Shutdown or Close is called; then it returns http.ErrServerClosed.
func (s *Server) Serve(ln net.Listener) error { return s.http.Serve(ln) }

// Shutdown stops listening and waits until open requests are answered or ctx ends.
func (s *Server) Shutdown(ctx context.Context) error { return s.http.Shutdown(ctx) }

// Close stops at once.
func (s *Server) Close() error { return s.http.Close() }

// Handler returns what the server serves, with its guards.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		mux.HandleFunc(r.method+" "+r.path, r.handle)
	}
	if s.o.Pprof {
		handlePprof(mux)
	}
	crossOrigin := http.NewCrossOriginProtection()
	crossOrigin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		replyError(w, http.StatusForbidden, "a page of another site may not send this request")
	}))
	return guard(crossOrigin.Handler(mux))
}

// guard is in front of everything: it refuses foreign names, and says that answers are nobody's to keep.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		if r.Method == http.MethodConnect {
			h.Set("Connection", "close")
			replyError(w, http.StatusMethodNotAllowed, "CONNECT is not served")
			return
		}
		local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		if isLoopback(local) && !ownName(r.Host) {
			replyError(w, http.StatusMisdirectedRequest, "on loopback the admin endpoint answers to localhost and to addresses only")
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBodyBytes)
		next.ServeHTTP(w, r)
	})
}

func isLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// ownName reports whether host, as a Host header gives it, cannot be a name that somebody else's DNS answers for.
func ownName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(strings.ToLower(host), "[]")
	if host == "" || host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	_, err := netip.ParseAddr(host)
	return err == nil
}

// newMetricsHandler returns the handler of /metrics, with a registry of its own.
func newMetricsHandler(o Options) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		newCollector(o.Weir),
	)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(o.Log.Handler(), slog.LevelWarn),
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: maxScrapes,
		EnableOpenMetrics:   true,
	})
}
