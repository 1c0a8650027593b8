// Package admin is what operators and monitoring see of weir: probes, metrics, a JSON API, and the client for it.
//
// The server reads: every answer is made from one State, a plain value that the composition root builds, so that the
// numbers of one answer belong together and a scrape takes no lock that a connection could wait for. Commands go
// through the functions in Options. Nothing here touches the data plane, and it is the only part of weir that is served
// by net/http.
//
// The endpoint has no login. It listens on loopback or on a Unix socket unless told otherwise, refuses state-changing
// requests that a browser sends for another site, and on loopback refuses names that are not the machine's own, so that a web page
// cannot reach it through a name it controls.
package admin
