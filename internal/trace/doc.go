// Package trace reads and writes W3C Trace Context, by which programs tell each other which trace a request is part of.
//
// The rules are those of the Recommendation (https://www.w3.org/TR/trace-context/), and of its Level 2 where that says more: the
// flag that a trace id is random. Everything here is pure, takes bytes that any client may have sent, and does not allocate.
package trace
