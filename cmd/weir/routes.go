package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weirlb/weir/server"
)

func newRoutes() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "routes",
		Short: "Ask a configuration where requests go",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		SuggestionsMinimumDistance: 2,
	}
	cmd.AddCommand(newRoutesTest())
	return cmd
}

func newRoutesTest() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test URL",
		Short: "Say which HTTP router takes a request, and why",
		Long: `Say which HTTP router of a configuration takes a request, and why: what each router's rule found.
Nothing is bound and no network is touched.

Exit codes: 0 some router takes it, 1 none does or the configuration has errors, 2 the command line is wrong.`,
		Args: exactArgs("a URL"),
	}
	loader := addConfigFlags(cmd)
	flags := cmd.Flags()
	method := flags.String("method", http.MethodGet, "method of the request")
	fields := flags.StringArray("header", nil, "header of the request, as \"Name: value\"; may be repeated")
	client := flags.String("client", "127.0.0.1", "address of the client")
	entrypoint := flags.String("entrypoint", "", "entrypoint the request comes in by; without it, all that have routers for the URL's scheme")
	asJSON := flags.Bool("json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q, err := question(args[0], *method, *fields, *client, *entrypoint)
		if err != nil {
			return usage(cmd, err)
		}
		l, err := loader()
		if err != nil {
			return usageError{err}
		}
		cfg, err := l.Load()
		if err != nil {
			return err
		}
		routes, err := server.Explain(cfg, q)
		if err != nil {
			return err
		}
		return showRoutes(cmd.OutOrStdout(), routes, *asJSON)
	}
	return cmd
}

// question reads a request from the command line.
func question(written, method string, fields []string, client, entrypoint string) (server.Question, error) {
	q := server.Question{Method: strings.ToUpper(method), Header: make(http.Header), Entrypoint: entrypoint}
	u, err := url.Parse(written)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return q, fmt.Errorf("%q is not an http or https URL", written)
	}
	q.URL = u
	for _, f := range fields {
		name, value, ok := strings.Cut(f, ":")
		if !ok {
			return q, fmt.Errorf("header %q is not \"Name: value\"", f)
		}
		q.Header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	if q.Client, err = netip.ParseAddr(client); err != nil {
		return q, fmt.Errorf("client %q is not an IP address", client)
	}
	return q, nil
}

func showRoutes(out io.Writer, routes []server.Route, asJSON bool) error {
	taken := false
	for _, r := range routes {
		taken = taken || r.Router != ""
	}
	if asJSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(routes); err != nil {
			return err
		}
	} else {
		for _, r := range routes {
			showRoute(out, r)
		}
	}
	if !taken {
		return reportedError{}
	}
	return nil
}

func showRoute(out io.Writer, r server.Route) {
	answer := "no router: 404"
	if r.Router != "" {
		answer = fmt.Sprintf("router %s, service %s", r.Router, r.Service)
		if r.Service == "" {
			answer = fmt.Sprintf("router %s, answered by weir", r.Router)
		}
		if len(r.Middlewares) > 0 {
			answer += ", by way of " + strings.Join(r.Middlewares, ", ")
		}
	}
	fmt.Fprintf(out, "entrypoint %s: %s\n  %s\n  host %q, path %q\n", r.Entrypoint, answer, r.Why, r.Host, r.Path)
	for _, v := range r.Verdicts {
		fmt.Fprintf(out, "  %d %s %s\n", v.Priority, v.Router, v.Finding)
	}
}
