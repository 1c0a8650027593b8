// Package rule turns the text of a routing rule into an expression tree.
//
// The language is the one Traefik v3 users know: matchers such as
// HostSNI(`db.example.com`) or PathPrefix("/api"), joined by && || ! and
// parentheses. The package knows which matchers exist, what their arguments
// must look like, and which host names a rule can match at all; it does not
// know connections or requests. l4 and l7 turn an [Expr] into a predicate over
// theirs.
//
// Three steps, in the order a caller takes them: [Parse] reads the text,
// [Check] reports every argument that makes no sense for the kind of router,
// and [Hosts] with [Residual] split the checked rule into what a table can
// index by host name and what is left to evaluate.
package rule
