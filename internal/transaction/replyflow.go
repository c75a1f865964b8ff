package transaction

import (
	"reveille/flow"
	"reveille/internal/sipmsg"
)

// ReplyFlow returns where an answer to m, which arrived on f, goes if it is given
// without a transaction (RFC 3261 §18.2.2, RFC 3581 §4).
func ReplyFlow(f flow.Flow, m *sipmsg.Message) flow.Flow { return responseFlow(f, m.TopVia()) }
