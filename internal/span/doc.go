// Package span collects the spans that the loops have finished, for whoever sends them.
//
// A Buffer, one for each loop, encodes a span as OTLP has it (opentelemetry/proto/trace/v1/trace.proto) at the moment when it
// ends, and hands whole chunks over to the Queue without a lock and without ever waiting. So nothing is kept of a request that
// has ended, and the garbage collector has nothing to do with it. When nobody takes chunks as fast as they come, spans are
// dropped and counted: a slow collector never slows a request. Every byte that a client contributed is made valid UTF-8 and has
// a bound, or one client could have whole batches refused.
package span
