// Package resolve finds where the requests for a SIP URI are sent (RFC 3263): it
// makes an ordered list of transports and addresses out of a URI and what the DNS
// says of its host, by NAPTR, SRV, AAAA and A records.
//
// The rules are in locate, which takes the answers from a function and does no I/O.
// Around it are a cache, which keeps answers as long as they say and never more than
// it has room for, and a client that asks the servers. No message is sent here; who
// tries the hops, and what counts as a failure (RFC 3263 §4.3), is the proxy's
// business. Names are looked up in the DNS alone, not in the machine's hosts file, and
// are complete as they stand: no search list is applied.
package resolve
