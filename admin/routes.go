package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
)

// route is one path that is served. openapi.yaml lists the same ones; a test compares.
type route struct {
	method, path string
	handle       http.HandlerFunc
}

func (s *Server) routes() []route {
	return []route{
		{"GET", "/{$}", s.index},
		{"GET", "/metrics", s.metrics.ServeHTTP},
		{"GET", "/livez", s.livez},
		{"GET", "/healthz", s.livez},
		{"GET", "/readyz", s.readyz},
		{"GET", "/version", s.version},
		{"GET", "/api/v1/status", s.status},
		{"GET", "/api/v1/entrypoints", s.entrypoints},
		{"GET", "/api/v1/routers", s.routers},
		{"GET", "/api/v1/services", s.services},
		{"GET", "/api/v1/backends", s.backends},
		{"GET", "/api/v1/sources", s.sources},
		{"GET", "/api/v1/cluster", s.cluster},
		{"GET", "/api/v1/members", s.members},
		{"GET", "/api/v1/orders", s.orders},
		{"POST", "/api/v1/drain", s.drain},
		{"POST", "/api/v1/undrain", s.undrain},
		{"POST", "/api/v1/weight", s.weight},
		{"GET", "/api/v1/keys", s.keys},
		{"POST", "/api/v1/keys", s.changeKeys},
		{"GET", "/api/v1/config", s.config},
		{"POST", "/api/v1/reload", s.reload},
		{"POST", "/api/v1/log-level", s.logLevel},
	}
}

// handlePprof adds the profiles of the Go runtime. They are not part of the API.
func handlePprof(mux *http.ServeMux) {
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
}

// index says what there is, for whoever opens the address in a browser.
func (s *Server) index(w http.ResponseWriter, _ *http.Request) {
	var b strings.Builder
	b.WriteString("weir's admin endpoint\n\n")
	for _, r := range s.routes() {
		if r.path != "/{$}" {
			fmt.Fprintf(&b, "%-4s %s\n", r.method, r.path)
		}
	}
	replyText(w, http.StatusOK, b.String())
}

// livez answers as long as the process can.
func (s *Server) livez(w http.ResponseWriter, _ *http.Request) { replyText(w, http.StatusOK, "ok\n") }

// readyz is 200 when weir wants traffic, else 503 with the reasons, one a line.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	state := s.o.Weir.State()
	code, text := http.StatusOK, "ok\n"
	if len(state.NotReady) > 0 {
		code, text = http.StatusServiceUnavailable, strings.Join(state.NotReady, "\n")+"\n"
	}
	if r.URL.Query().Has("verbose") {
		text = verbose(state)
	}
	replyText(w, code, text)
}

func verbose(s *State) string {
	var b strings.Builder
	verdict := "ready"
	if len(s.NotReady) > 0 {
		verdict = "not ready"
	}
	fmt.Fprintf(&b, "%s: generation %d\n", verdict, s.Generation)
	for _, reason := range s.NotReady {
		fmt.Fprintf(&b, "- %s\n", reason)
	}
	for _, e := range s.Entrypoints {
		fmt.Fprintf(&b, "+ entrypoint %s listens on %s (%s)\n", e.Name, e.Address, e.Protocol)
	}
	for i := range s.Services {
		if v := &s.Services[i]; v.Kind == "loadBalancer" {
			verboseService(&b, s, v)
		}
	}
	return b.String()
}

// verboseService marks a service that has no usable backend with !, since weir is ready all the same, and tells what the
// sources of its backends last said.
func verboseService(b *strings.Builder, s *State, v *Service) {
	if v.InUse > 0 {
		fmt.Fprintf(b, "+ service %s (%s) uses %d of %d backends\n", v.Name, v.Protocol, v.InUse, v.Backends)
		return
	}
	fmt.Fprintf(b, "! service %s (%s) has no usable backend of %d\n", v.Name, v.Protocol, v.Backends)
	for i := range s.Sources {
		if source := &s.Sources[i]; source.Service == v.Name && source.Protocol == v.Protocol {
			fmt.Fprintf(b, "  %s\n", source.lastWord(s.Now))
		}
	}
}

// Version is what /version and `weir version --json` show.
type Version struct {
	Version   string `json:"version"`
	Commit    string `json:"commit"`
	GoVersion string `json:"goVersion"`
}

func (s *Server) version(w http.ResponseWriter, _ *http.Request) {
	state := s.o.Weir.State()
	replyJSON(w, http.StatusOK, Version{state.Version, state.Commit, state.GoVersion})
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	replyJSON(w, http.StatusOK, s.o.Weir.State().status())
}

func (s *Server) entrypoints(w http.ResponseWriter, _ *http.Request) {
	replyJSON(w, http.StatusOK, notNil(s.o.Weir.State().Entrypoints))
}

func (s *Server) routers(w http.ResponseWriter, _ *http.Request) {
	replyJSON(w, http.StatusOK, notNil(s.o.Weir.State().Routers))
}

func (s *Server) services(w http.ResponseWriter, _ *http.Request) {
	replyJSON(w, http.StatusOK, notNil(s.o.Weir.State().Services))
}

func (s *Server) backends(w http.ResponseWriter, r *http.Request) {
	replyOfService(w, r, s.o.Weir.State().Backends, func(b *Backend) (service, protocol string) { return b.Service, b.Protocol })
}

func (s *Server) sources(w http.ResponseWriter, r *http.Request) {
	replyOfService(w, r, s.o.Weir.State().Sources, func(v *Source) (service, protocol string) { return v.Service, v.Protocol })
}

// replyOfService lists all of a list, or what belongs to a ?service= or to a ?protocol=, with both what belongs to one service:
// the protocols name their services apart. A service nobody knows has nothing.
func replyOfService[T any](w http.ResponseWriter, r *http.Request, list []T, of func(*T) (service, protocol string)) {
	q := r.URL.Query()
	service, protocol := q.Get("service"), q.Get("protocol")
	if q.Has("protocol") && !slices.Contains(protocols, protocol) {
		replyError(w, http.StatusBadRequest, unknownProtocol(protocol))
		return
	}
	list = slices.DeleteFunc(slices.Clone(list), func(v T) bool {
		ofService, ofProtocol := of(&v)
		return q.Has("service") && ofService != service || q.Has("protocol") && ofProtocol != protocol
	})
	replyJSON(w, http.StatusOK, notNil(list))
}

// protocols are those whose services are named apart.
var protocols = []string{"tcp", udp, "http"}

func unknownProtocol(name string) string {
	return fmt.Sprintf("protocol %q is none of %s", name, strings.Join(protocols, ", "))
}

// clusterOf returns what is known of the cluster. If there is none it answers so, and returns nil.
func (s *Server) clusterOf(w http.ResponseWriter) *Cluster {
	c := s.o.Weir.State().Cluster
	if c == nil {
		replyError(w, http.StatusNotFound, "this weir is not in a cluster: set cluster in its configuration")
	}
	return c
}

func (s *Server) cluster(w http.ResponseWriter, _ *http.Request) {
	if c := s.clusterOf(w); c != nil {
		out := *c
		out.Members, out.Tables = notNil(out.Members), notNil(out.Tables)
		replyJSON(w, http.StatusOK, out)
	}
}

func (s *Server) members(w http.ResponseWriter, _ *http.Request) {
	if c := s.clusterOf(w); c != nil {
		replyJSON(w, http.StatusOK, notNil(c.Members))
	}
}

func (s *Server) config(w http.ResponseWriter, r *http.Request) {
	if s.o.Config == nil {
		replyError(w, http.StatusNotImplemented, "the configuration is not shown here")
		return
	}
	text, err := s.o.Config(r.Context())
	if err != nil {
		replyError(w, http.StatusInternalServerError, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text)
}

// Reloaded is the answer to a reload that succeeded.
type Reloaded struct {
	Generation uint64 `json:"generation"`
}

// reload answers when the new configuration is in force. An error means that the old one still is.
func (s *Server) reload(w http.ResponseWriter, r *http.Request) {
	if s.o.Reload == nil {
		replyError(w, http.StatusNotImplemented, "this weir cannot reload")
		return
	}
	if err := s.o.Reload(r.Context()); err != nil {
		replyError(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	replyJSON(w, http.StatusOK, Reloaded{s.o.Weir.State().Generation})
}

// LogLevel is the body of a log-level request and of its answer.
type LogLevel struct {
	Level string `json:"level"` // debug, info, warn or error
}

func (s *Server) logLevel(w http.ResponseWriter, r *http.Request) {
	var want LogLevel
	if err := decodeStrict(r.Body, &want); err != nil {
		replyError(w, http.StatusBadRequest, `the body must be {"level": "debug"|"info"|"warn"|"error"}: `+err.Error())
		return
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, want.Level) {
		replyError(w, http.StatusBadRequest, fmt.Sprintf("level %q is none of debug, info, warn, error", want.Level))
		return
	}
	if s.o.SetLogLevel == nil {
		replyError(w, http.StatusNotImplemented, "this weir cannot change its log level")
		return
	}
	if err := s.o.SetLogLevel(want.Level); err != nil {
		replyError(w, http.StatusInternalServerError, err.Error())
		return
	}
	replyJSON(w, http.StatusOK, want)
}

// decodeStrict reads one JSON value without unknown keys and nothing behind it.
func decodeStrict(r io.Reader, v any) error {
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the value")
	}
	return nil
}

// problem is the body of every JSON answer that is not a success.
type problem struct {
	Error string `json:"error"`
}

func replyError(w http.ResponseWriter, code int, text string) { replyJSON(w, code, problem{text}) }

func replyJSON(w http.ResponseWriter, code int, v any) {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(text, '\n')) // the client is gone if this fails
}

func replyText(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, text)
}
