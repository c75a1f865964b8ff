package transaction

// The four state machines of RFC 3261 §17 as changed by RFC 6026 and 4320. They
// are pure: a state and an event give the next state, what to do, and which
// timer limits the time in the new state. One function describes one state.

// A state of one of the four machines. Each machine uses its own.
type state uint8

const (
	terminated state = iota

	// INVITE server transaction (RFC 6026 §8.6, Figure 7).
	ivsProceeding
	ivsAccepted
	ivsCompleted
	ivsConfirmed

	// Non-INVITE server transaction (RFC 3261 §17.2.2, Figure 8). nisGivenUp is one
	// more than there: the client has stopped waiting without an answer.
	nisTrying
	nisProceeding
	nisCompleted
	nisGivenUp

	// INVITE client transaction (RFC 6026 §8.4, Figure 5). Two states more
	// than there say that the branch is being cancelled: ivcGivenUp waits for a
	// provisional response so that CANCEL may be sent, ivcCancelled for the
	// final response after it was sent (RFC 3261 §9.1).
	ivcCalling
	ivcGivenUp
	ivcProceeding
	ivcCancelled
	ivcAccepted
	ivcCompleted

	// Non-INVITE client transaction (RFC 3261 §17.1.2, Figure 6).
	nicTrying
	nicProceeding
	nicCompleted

	states // the number of states
)

// An event is what can happen to a transaction.
type event uint8

const (
	// evRequest: the request arrived again (server).
	evRequest event = iota
	// evAck: an ACK arrived (INVITE server).
	evAck
	// evTrying: a 100 from the user (server) or the peer (client).
	evTrying
	// evProvisional: a 101 to 199.
	evProvisional
	// evSuccess: a 2xx.
	evSuccess
	// evFailure: a 300 to 699.
	evFailure
	// evCancel: the user, or Timer C, wants the request cancelled (client).
	evCancel
	// evRepeat: the timer of retransmissions fired.
	evRepeat
	// evExpire: the timer that limits the state fired.
	evExpire
	// evTransport: sending failed or the connection ended (client).
	evTransport

	events // the number of events
)

// An action is a set of things to do.
type action uint16

const (
	// doSend: send the response at hand and keep it for retransmission.
	doSend action = 1 << iota
	// doResend: send what was sent last once more.
	doResend
	// doRepeat: start the timer of retransmissions, or start it with the next
	// longer interval.
	doRepeat
	// doQuiet: no more retransmissions.
	doQuiet
	// doPass: hand the message at hand to the user.
	doPass
	// doAck: send an ACK for the response at hand.
	doAck
	// doCancel: send a CANCEL.
	doCancel
	// doFail: tell the user why there will be no final response.
	doFail
)

// A limit names the timer that ends a state.
type limit uint8

const (
	// keep: leave the running timer as it is.
	keep limit = iota
	limitC
	limitCancel // 64*T1 after CANCEL, RFC 3261 §9.1
	limitD
	limitH
	limitI
	limitJ
	limitK
	limitL
	limitM
)

// A step is what a state machine answers to an event.
type step struct {
	next  state
	do    action
	timer limit
}

// on is the transition from s by ev. An event that the state does not expect
// changes nothing.
func (s state) on(ev event) step {
	switch s {
	case ivsProceeding:
		return onIVSProceeding(ev)
	case ivsAccepted:
		return onIVSAccepted(ev)
	case ivsCompleted:
		return onIVSCompleted(ev)
	case ivsConfirmed:
		return onIVSConfirmed(ev)
	case nisTrying:
		return onNISTrying(ev)
	case nisProceeding:
		return onNISProceeding(ev)
	case nisCompleted:
		return onNISCompleted(ev)
	case nisGivenUp:
		return onNISGivenUp(ev)
	case ivcCalling:
		return onIVCCalling(ev)
	case ivcGivenUp:
		return onIVCGivenUp(ev)
	case ivcProceeding:
		return onIVCProceeding(ev)
	case ivcCancelled:
		return onIVCCancelled(ev)
	case ivcAccepted:
		return onIVCAccepted(ev)
	case ivcCompleted:
		return onIVCCompleted(ev)
	case nicTrying:
		return onNICTrying(ev)
	case nicProceeding:
		return onNICProceeding(ev)
	case nicCompleted:
		return onNICCompleted(ev)
	default: // terminated
		return step{next: s}
	}
}

// over reports whether nobody hears an answer any more.
func (s state) over() bool { return s == terminated || s == nisGivenUp }

// undecided reports whether s still lacks a final response.
func (s state) undecided() bool {
	switch s {
	case ivsProceeding, nisTrying, nisProceeding,
		ivcCalling, ivcGivenUp, ivcProceeding, ivcCancelled,
		nicTrying, nicProceeding:
		return true
	default:
		return false
	}
}
