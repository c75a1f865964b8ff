package event

import (
	"log/slog"
	"time"
)

// Explained says how a request that met a sleeping phone ended, and why. It comes once
// for each, some seconds after the end, when what came late is known.
type Explained struct {
	// ID is that of the Record in the timeline.
	ID, AOR, CallID, Method, From, To string
	// Binding and Provider are the phone's that tells most: that which took the request,
	// else one that came, else one that was to come.
	Binding, Provider string
	// Outcome, Status and Reason say how it ended, Code, Said and Do are the verdict.
	Outcome        string
	Status         int
	Reason         string
	Code, Said, Do string
	Began          time.Time
	// Pushed and Woke are the times from Began to the push and to the phone's return, 0 if
	// there was none; Took that to the end. Late: it was back too late.
	Pushed, Woke, Took time.Duration
	Late               bool
}

// ExplainedData is in request.explained.
type ExplainedData struct {
	ID       string    `json:"id" doc:"names the record: GET /v1/calls/ID has all steps, and what came later"`
	AOR      string    `json:"aor,omitempty" doc:"the user who was called"`
	CallID   string    `json:"call_id" doc:"its Call-ID"`
	Method   string    `json:"method" doc:"INVITE, MESSAGE, …"`
	From     string    `json:"from,omitempty" doc:"who sent it, without parameters"`
	To       string    `json:"to,omitempty" doc:"whom it is for, without parameters"`
	Binding  string    `json:"binding,omitempty" doc:"the phone that took it, else one that woke, else one that was to wake"`
	Provider string    `json:"provider,omitempty" doc:"its pn-provider"`
	Outcome  string    `json:"outcome" doc:"answered, kept, diverted, cancelled or failed"`
	Status   int       `json:"status,omitempty" doc:"SIP status of the final answer"`
	Reason   string    `json:"reason,omitempty" doc:"phrase of the final answer"`
	Code     string    `json:"code" doc:"the verdict, for programs; operations.md lists the codes"`
	Said     string    `json:"said" doc:"the verdict in words"`
	Do       string    `json:"do,omitempty" doc:"what to do about it, in words"`
	Began    time.Time `json:"began" doc:"when it arrived"`
	Push     float64   `json:"push_after_ms,omitempty" doc:"time from its arrival to the push"`
	Woke     float64   `json:"woke_after_ms,omitempty" doc:"time from its arrival until the phone was back"`
	Late     bool      `json:"late,omitempty" doc:"whether that was too late"`
	Answered float64   `json:"answered_after_ms,omitempty" doc:"time from its arrival to the answer, if a phone took it"`
	Ended    float64   `json:"ended_after_ms" doc:"time from its arrival to its end"`
}

// Type implements Event.
func (Explained) Type() string { return "request.explained" }

func (e Explained) data(Detail) any {
	d := ExplainedData{
		ID: e.ID, AOR: e.AOR, CallID: e.CallID, Method: e.Method, From: e.From, To: e.To, Binding: e.Binding, Provider: e.Provider,
		Outcome: e.Outcome, Status: e.Status, Reason: e.Reason, Code: e.Code, Said: e.Said, Do: e.Do, Began: utc(e.Began),
		Push: milliseconds(e.Pushed), Woke: milliseconds(e.Woke), Late: e.Late, Ended: milliseconds(e.Took),
	}
	if e.Outcome == answered {
		d.Answered = d.Ended
	}
	return d
}

const answered = "answered"

// level is Info for what an operator is asked about; how the rest ended was told before.
func (e Explained) level() slog.Level {
	if e.Outcome == "failed" {
		return slog.LevelInfo
	}
	return slog.LevelDebug
}

func (e Explained) line() (string, []slog.Attr) {
	return "request explained", []slog.Attr{
		slog.String("id", e.ID), slog.String("method", e.Method), slog.String("call_id", e.CallID), slog.String("from", e.From),
		slog.String("aor", e.AOR), slog.String("binding", e.Binding), slog.String("outcome", e.Outcome), slog.Int("status", e.Status),
		slog.String("code", e.Code), slog.String("said", e.Said), slog.String("do", e.Do), slog.Duration("elapsed", e.Took.Round(time.Microsecond)),
	}
}
