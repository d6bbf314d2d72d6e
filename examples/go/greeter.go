// Package export_wit_world is what the component exports; the bindings call it so.
package export_wit_world

import (
	"fmt"

	wit "go.bytecodealliance.org/pkg/wit/types"

	provider "wit_component/edgepass_credentials_p2_credential_provider"
	types "wit_component/edgepass_credentials_types"
)

// Greet is the function of the world.
func Greet(name string) wit.Result[string, string] {
	// the scopes of the configuration; a token that is cached is there at once
	asked := provider.GetToken(request())
	if asked.IsErr() {
		return wit.Err[string, string](said(asked.Err()))
	}
	token := asked.Ok()
	return wit.Ok[string, string](fmt.Sprintf("hello %s, with a %s token of %d bytes for %s",
		name, token.TokenType, len(token.Token), token.Scope))
}

// A token of the default identity, for these scopes, or where there are none for those that the configuration names. The
// zero value of an option is none.
func request(scopes ...string) types.TokenRequest {
	return types.TokenRequest{
		Scopes:    scopes,
		Grant:     types.MakeGrantClientCredentials(),
		TokenType: types.TokenType_Bearer,
		Refresh:   types.MakeRefreshIfNeeded(),
	}
}

// The cases of an error, each with its name in the interface and the method that gives its detail. The method of another case
// panics.
var cases = map[uint8]struct {
	name   string
	detail func(types.CredentialError) types.ErrorDetail
}{
	types.CredentialError_Configuration:         {"configuration", types.CredentialError.Configuration},
	types.CredentialError_InvalidRequest:        {"invalid-request", types.CredentialError.InvalidRequest},
	types.CredentialError_Unsupported:           {"unsupported", types.CredentialError.Unsupported},
	types.CredentialError_CredentialUnavailable: {"credential-unavailable", types.CredentialError.CredentialUnavailable},
	types.CredentialError_Network:               {"network", types.CredentialError.Network},
	types.CredentialError_Timeout:               {"timeout", types.CredentialError.Timeout},
	types.CredentialError_Throttled:             {"throttled", types.CredentialError.Throttled},
	types.CredentialError_Server:                {"server", types.CredentialError.Server},
	types.CredentialError_InvalidResponse:       {"invalid-response", types.CredentialError.InvalidResponse},
	types.CredentialError_CredentialRejected:    {"credential-rejected", types.CredentialError.CredentialRejected},
	types.CredentialError_FederationMismatch:    {"federation-mismatch", types.CredentialError.FederationMismatch},
	types.CredentialError_InteractionRequired:   {"interaction-required", types.CredentialError.InteractionRequired},
	types.CredentialError_Refused:               {"refused", types.CredentialError.Refused},
	types.CredentialError_Busy:                  {"busy", types.CredentialError.Busy},
	types.CredentialError_Other:                 {"other", types.CredentialError.Other},
}

// What to tell people. Programs look at the case: it says who can fix it.
func said(err types.CredentialError) string {
	case_, known := cases[err.Tag()]
	if !known {
		// a later version of the interface may have more cases
		return "an error that this program does not know"
	}
	detail := case_.detail(err)
	text := fmt.Sprintf("%s: %s", case_.name, detail.Message)
	if detail.Hint.IsSome() {
		text += fmt.Sprintf(" (%s)", detail.Hint.Some())
	}
	return text
}
