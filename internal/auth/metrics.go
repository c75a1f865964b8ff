package auth

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// A Reason says why a request was allowed or not. Its name is a label of metrics
// and stands in events: it must not change.
type Reason uint8

// The reasons.
const (
	// ReasonUser: right credentials, or a right token.
	ReasonUser Reason = iota
	// ReasonTrusted: from a trusted peer.
	ReasonTrusted
	// ReasonNetwork: from a network where the user needs no password.
	ReasonNetwork
	// ReasonNoCredentials: none for our realm came.
	ReasonNoCredentials
	// ReasonMalformed: what came cannot be read.
	ReasonMalformed
	// ReasonForeignURI: the credentials were made for somebody else.
	ReasonForeignURI
	// ReasonAlgorithm: the algorithm was not offered.
	ReasonAlgorithm
	// ReasonNoUser: no such user.
	ReasonNoUser
	// ReasonPassword: the wrong password.
	ReasonPassword
	// ReasonStale: the right password with a nonce that is no longer good.
	ReasonStale
	// ReasonReplayed: the right password with a nonce and nc that were used.
	ReasonReplayed
	// ReasonLimited: too many failures of this source.
	ReasonLimited
	// ReasonBusy: too many lookups under way.
	ReasonBusy
	// ReasonUnavailable: the Source cannot say.
	ReasonUnavailable
	// ReasonToken: the token is not valid.
	ReasonToken
	// ReasonTokenExpired: the token was valid.
	ReasonTokenExpired
	// ReasonTokenScope: the token is for other services.
	ReasonTokenScope
	// ReasonNotOwner: the user may not use that AOR.
	ReasonNotOwner
	numReasons
)

var reasonNames = [numReasons]string{
	ReasonUser:          "user",
	ReasonTrusted:       "trusted",
	ReasonNetwork:       "network",
	ReasonNoCredentials: "no_credentials",
	ReasonMalformed:     "malformed",
	ReasonForeignURI:    "foreign_uri",
	ReasonAlgorithm:     "algorithm",
	ReasonNoUser:        "no_user",
	ReasonPassword:      "password",
	ReasonStale:         "stale",
	ReasonReplayed:      "replayed",
	ReasonLimited:       "limited",
	ReasonBusy:          "busy",
	ReasonUnavailable:   "unavailable",
	ReasonToken:         "token",
	ReasonTokenExpired:  "token_expired",
	ReasonTokenScope:    "token_scope",
	ReasonNotOwner:      "not_owner",
}

// Wrong reports whether something was the matter with the credentials that came, or
// with who knows them. Asking for credentials, or for those with a newer nonce, is how
// each request begins.
func (r Reason) Wrong() bool {
	switch r {
	case ReasonUser, ReasonTrusted, ReasonNetwork, ReasonNoCredentials, ReasonStale, ReasonReplayed:
		return false
	}
	return true
}

// String returns the reason's name.
func (r Reason) String() string { return reasonNames[r] }

type metrics struct {
	decisions [numRoles][numReasons]prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	decisions := promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
		Name: "reveille_auth_decisions_total",
		Help: "Requests that were authenticated or not, by role and reason.",
	}, []string{"role", "reason"})
	m := new(metrics)
	for role := range numRoles {
		for reason := range numReasons {
			m.decisions[role][reason] = decisions.WithLabelValues(role.String(), reason.String())
		}
	}
	return m
}

func (m *metrics) decided(role Role, reason Reason) { m.decisions[role][reason].Inc() }
