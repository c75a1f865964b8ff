package event

import (
	"log/slog"
	"time"
)

// Message is a step in the life of a MESSAGE that waits for its user. What it says is
// in no event.
type Message struct {
	// Step is "kept" (its sender was told that it was accepted), "delivered" (a phone
	// has it), "expired" (its time was over) or "refused" (a phone will never take it).
	Step         string
	CallID       string
	From, To     string // AORs or URIs without parameters
	AOR          string
	Size         int // bytes of the request
	Kept, Until  time.Time
	Status       int // of the phone's answer, 0 if none
	Waited       time.Duration
	StillWaiting int // how many wait for this user now
}

// MessageData is in message.kept, delivered, expired and refused.
type MessageData struct {
	AOR          string    `json:"aor" doc:"the user"`
	CallID       string    `json:"call_id" doc:"its Call-ID"`
	From         string    `json:"from,omitempty" doc:"who sent it, without parameters"`
	To           string    `json:"to,omitempty" doc:"whom it is for, without parameters"`
	Size         int       `json:"size" doc:"bytes of the request"`
	Kept         time.Time `json:"kept" doc:"since when it waited"`
	Until        time.Time `json:"until" doc:"when it is of no more use"`
	Status       int       `json:"status,omitempty" doc:"SIP status of the phone's answer"`
	WaitedMS     float64   `json:"waited_ms,omitempty" doc:"how long it waited"`
	StillWaiting int       `json:"still_waiting" doc:"how many wait for the user now"`
}

// Type implements Event.
func (e Message) Type() string { return "message." + e.Step }

func (e Message) data(Detail) any {
	return MessageData{e.AOR, e.CallID, e.From, e.To, e.Size, utc(e.Kept), utc(e.Until), e.Status, milliseconds(e.Waited), e.StillWaiting}
}

// Info for all: an operator is asked where a message is.
func (Message) level() slog.Level { return slog.LevelInfo }

func (e Message) line() (string, []slog.Attr) {
	return "message " + e.Step, []slog.Attr{
		slog.String("aor", e.AOR), slog.String("call_id", e.CallID), slog.String("from", e.From), slog.Int("size", e.Size),
		slog.Int("status", e.Status), slog.Duration("waited", e.Waited.Round(time.Microsecond)), slog.Int("still_waiting", e.StillWaiting),
	}
}
