// Package head holds one HTTP message head as everything above the codecs sees
// it: what was read, with edits on top.
//
// A codec reads a head and leaves in a [Head] where things stand: the fields
// refer to the bytes as they were read. Routers look fields up, middlewares edit
// them, and a codec writes the result: what nobody touched goes out exactly as
// it came, in its order and in its case, mostly in one copy.
//
// The rules that hold in every version of HTTP are here, so that each of them
// is written once: what a method, a target, a host, a field name and a value may
// consist of, what is hop-by-hop, and what must never be edited because it
// frames the message. How a message lies on the wire is for the codecs.
//
// Everything in a Head is hostile except what was edited, and edits are checked
// too: no value can bring a line of its own.
package head
