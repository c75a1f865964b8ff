package transaction

// The INVITE client transaction: RFC 3261 §17.1.1, RFC 6026 §7.2, with the
// cancelling of §9.1 and Timer C of §16.6 to 16.8.

func onIVCCalling(ev event) step {
	switch ev {
	case evTrying, evProvisional:
		return step{ivcProceeding, doPass | doQuiet, limitC}
	case evSuccess:
		return step{ivcAccepted, doPass | doQuiet, limitM}
	case evFailure:
		return step{ivcCompleted, doAck | doPass | doQuiet, limitD}
	case evCancel:
		// RFC 3261 §9.1: no CANCEL before a provisional response.
		return step{next: ivcGivenUp}
	case evRepeat:
		// Timer A.
		return step{ivcCalling, doResend | doRepeat, keep}
	case evExpire, evTransport:
		// Timer B.
		return step{next: terminated, do: doFail}
	default:
		return step{next: ivcCalling}
	}
}

func onIVCGivenUp(ev event) step {
	switch ev {
	case evTrying, evProvisional:
		return step{ivcCancelled, doCancel | doPass | doQuiet, limitCancel}
	case evSuccess:
		return step{ivcAccepted, doPass | doQuiet, limitM}
	case evFailure:
		return step{ivcCompleted, doAck | doPass | doQuiet, limitD}
	case evRepeat:
		// The peer may not have got the INVITE; it must, to be cancelled.
		return step{ivcGivenUp, doResend | doRepeat, keep}
	case evExpire, evTransport:
		return step{next: terminated, do: doFail}
	default:
		return step{next: ivcGivenUp}
	}
}

func onIVCProceeding(ev event) step {
	switch ev {
	case evTrying:
		return step{ivcProceeding, doPass, keep}
	case evProvisional:
		// RFC 3261 §16.7 step 2: 101 to 199 reset Timer C, 100 does not.
		return step{ivcProceeding, doPass, limitC}
	case evSuccess:
		return step{ivcAccepted, doPass, limitM}
	case evFailure:
		return step{ivcCompleted, doAck | doPass, limitD}
	case evCancel, evExpire:
		// RFC 3261 §16.8: Timer C after a provisional response means CANCEL.
		return step{ivcCancelled, doCancel, limitCancel}
	case evTransport:
		return step{next: terminated, do: doFail}
	default:
		return step{next: ivcProceeding}
	}
}

func onIVCCancelled(ev event) step {
	switch ev {
	case evTrying, evProvisional:
		return step{ivcCancelled, doPass, keep}
	case evSuccess:
		// The 2xx crossed our CANCEL: the call is up.
		return step{ivcAccepted, doPass, limitM}
	case evFailure:
		return step{ivcCompleted, doAck | doPass, limitD}
	case evExpire, evTransport:
		// RFC 3261 §9.1: an old peer answers CANCEL but never the INVITE.
		return step{next: terminated, do: doFail}
	default:
		return step{next: ivcCancelled}
	}
}

func onIVCAccepted(ev event) step {
	switch ev {
	case evSuccess:
		return step{ivcAccepted, doPass, keep}
	case evExpire:
		return step{next: terminated}
	default:
		return step{next: ivcAccepted}
	}
}

func onIVCCompleted(ev event) step {
	switch ev {
	case evFailure:
		// RFC 3261 §17.1.1.2: each copy is acknowledged at once, none is passed.
		return step{ivcCompleted, doAck, keep}
	case evExpire:
		return step{next: terminated}
	default:
		return step{next: ivcCompleted}
	}
}

// The non-INVITE client transaction: RFC 3261 §17.1.2.

func onNICTrying(ev event) step {
	switch ev {
	case evTrying, evProvisional:
		// Retransmissions go on: they fetch the final response.
		return step{nicProceeding, doPass, keep}
	case evSuccess, evFailure:
		return step{nicCompleted, doPass | doQuiet, limitK}
	case evRepeat:
		// Timer E.
		return step{nicTrying, doResend | doRepeat, keep}
	case evExpire, evTransport:
		// Timer F.
		return step{next: terminated, do: doFail}
	default:
		return step{next: nicTrying}
	}
}

func onNICProceeding(ev event) step {
	switch ev {
	case evTrying, evProvisional:
		return step{nicProceeding, doPass, keep}
	case evSuccess, evFailure:
		return step{nicCompleted, doPass | doQuiet, limitK}
	case evRepeat:
		return step{nicProceeding, doResend | doRepeat, keep}
	case evExpire, evTransport:
		return step{next: terminated, do: doFail}
	default:
		return step{next: nicProceeding}
	}
}

func onNICCompleted(ev event) step {
	if ev == evExpire {
		return step{next: terminated}
	}
	// Further copies of the response are absorbed.
	return step{next: nicCompleted}
}
