package transaction

// The INVITE server transaction: RFC 3261 §17.2.1, RFC 6026 §7.1. A failed send
// is no event: RFC 6026 §8.8 keeps the transaction in its state, so that it goes
// on absorbing retransmissions and its timers end it.

func onIVSProceeding(ev event) step {
	switch ev {
	case evRequest:
		// RFC 3261 §17.2.1: answer with the most recent provisional response.
		return step{ivsProceeding, doResend, keep}
	case evTrying, evProvisional:
		return step{ivsProceeding, doSend, keep}
	case evSuccess:
		// RFC 6026 §7.1: the 2xx does not end the transaction.
		return step{ivsAccepted, doSend, limitL}
	case evFailure:
		return step{ivsCompleted, doSend | doRepeat, limitH}
	default:
		return step{next: ivsProceeding}
	}
}

func onIVSAccepted(ev event) step {
	switch ev {
	case evSuccess:
		// RFC 6026 §7.1: repeated 2xx and those of other forks are sent on.
		return step{ivsAccepted, doSend, keep}
	case evAck:
		// RFC 6026 §7.1: never absorbed.
		return step{ivsAccepted, doPass, keep}
	case evExpire:
		return step{next: terminated}
	default:
		// RFC 6026 §7.1: the INVITE is absorbed and nothing is sent, for whoever
		// accepted the call repeats the 2xx.
		return step{next: ivsAccepted}
	}
}

func onIVSCompleted(ev event) step {
	switch ev {
	case evRequest:
		return step{ivsCompleted, doResend, keep}
	case evAck:
		return step{ivsConfirmed, doQuiet, limitI}
	case evRepeat:
		// Timer G.
		return step{ivsCompleted, doResend | doRepeat, keep}
	case evExpire:
		// Timer H: the ACK never came.
		return step{next: terminated}
	default:
		return step{next: ivsCompleted}
	}
}

func onIVSConfirmed(ev event) step {
	if ev == evExpire {
		return step{next: terminated}
	}
	// Further copies of ACK and INVITE are absorbed.
	return step{next: ivsConfirmed}
}

// The non-INVITE server transaction: RFC 3261 §17.2.2, RFC 4320 §4. Its life
// begins with Timer F of the client, after which no answer is of use.

func onNISTrying(ev event) step {
	switch ev {
	case evTrying, evRepeat:
		// evRepeat: RFC 4320 §4.1 requires a 100 when the client's Timer E has
		// reached T2 and nothing else was sent.
		return step{nisProceeding, doSend | doQuiet, keep}
	case evSuccess, evFailure:
		return step{nisCompleted, doSend | doQuiet, limitJ}
	case evExpire:
		// RFC 4320 §4.2: after the client's time-out nothing is sent at all.
		return step{nisGivenUp, doQuiet, limitK}
	default:
		return step{next: nisTrying}
	}
}

func onNISProceeding(ev event) step {
	switch ev {
	case evRequest:
		return step{nisProceeding, doResend, keep}
	case evTrying:
		return step{nisProceeding, doSend, keep}
	case evSuccess, evFailure:
		return step{nisCompleted, doSend, limitJ}
	case evExpire:
		return step{nisGivenUp, doQuiet, limitK}
	default:
		return step{next: nisProceeding}
	}
}

func onNISCompleted(ev event) step {
	switch ev {
	case evRequest:
		return step{nisCompleted, doResend, keep}
	case evExpire:
		return step{next: terminated}
	default:
		// RFC 3261 §17.2.2: any other final response is discarded.
		return step{next: nisCompleted}
	}
}

// What the client sent last is on its way for T4 at most, as RFC 3261 §17.1.2.2 takes it
// for Timer K. A copy that came to nobody would be a new request.
func onNISGivenUp(ev event) step {
	if ev == evExpire {
		return step{next: terminated}
	}
	return step{next: nisGivenUp}
}
