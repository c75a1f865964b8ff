// Package mailbox keeps MESSAGEs (RFC 3428) for users whose phones sleep or are away,
// and hands them over, in order, when a phone has registered. What it has taken is on
// disk before the sender is told, within bounds, and survives the process.
//
// A message is delivered at least once: after a crash, or when the answer of a phone
// was lost, it comes again, with the Call-ID, From tag and CSeq that it had, by which
// a phone tells that it has it.
//
// The files: rules says what may wait and what an answer means, book how much waits
// for whom, journal is the file, clerk the one goroutine that writes it and hands
// messages over. The package sends nothing itself; a Carrier does.
package mailbox
