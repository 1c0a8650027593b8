// Package route finds the router of an HTTP request.
//
// A [Table] is compiled once from the rules of all routers of an entrypoint. It
// indexes them by what most rules say, host names and then paths, and keeps
// only what is left of each rule to be evaluated. What comes out is what
// evaluating every rule in the order of priority would give; the index makes it
// cheap, so that the ten-thousandth router costs no more than the first. Two
// things are not indexed and cost in proportion to their number: host
// expressions, and routers that share host and path and differ in headers,
// method, query or client address alone. Even those are only tried while they
// could still win.
//
// [NormalizePath] brings a request's path into the one form that rules see and
// backends get. Rules and backends must read the same path, or a request could
// be routed by one meaning and served by another.
//
// The package is pure: it reads no socket and no clock and starts no goroutine.
package route
