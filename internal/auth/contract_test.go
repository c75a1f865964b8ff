package auth_test

import (
	"testing"

	"reveille/internal/auth"
	"reveille/internal/auth/authtest"
)

func TestUsers_Contract(t *testing.T) {
	authtest.Run(t, func(t *testing.T, accounts []auth.Account) (auth.Source, func()) {
		users, err := auth.NewUsers(authtest.Realm, accounts)
		if err != nil {
			t.Fatal(err)
		}
		return users, nil
	})
}
