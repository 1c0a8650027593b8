// Package discovery finds the servers of a service at run time: each provider watches one source and emits full sets of endpoints.
//
// A Provider says all it knows each time, never a difference, so that whoever listens can join sources and compare sets without
// a history. Unknown is not empty: a source that fails, lies or falls silent leaves the last good set as it is.
//
// DNS is asked through a Resolver, which knows name servers and how to doubt them; NewSRV and NewHost turn its answers into sets.
// The order of the parts, from the wire inwards:
//
//   - exchange.go asks one server one question, once, and believes only the reply to it;
//   - resolver.go chooses among the servers, hedges, follows aliases and joins equal queries;
//   - answer.go turns a reply into records, or into one of three outcomes: records, authoritatively none, or no answer at all;
//   - addresses.go keeps what is known of each target's addresses, family by family;
//   - srvset.go turns records and addresses into endpoints with weights and tiers;
//   - history.go decides what to show after an answer, or after none, and when to ask again;
//   - refresh.go is the loop around them.
//
// Whatever comes from the network is hostile: replies are bounded in number, size and time, and what of them enters an error is quoted.
package discovery
