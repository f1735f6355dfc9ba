package webapi

import "cebridge/schema/outcome"

// judgement is a verdict with its reason.
type judgement struct {
	verdict outcome.Verdict
	reason  outcome.Reason
}

// The codes that need more than the table to be judged.
const (
	codeNotThere       = "0x80040217" // ObjectDoesNotExist
	codeNotThereByKey  = "0x80060891" // RecordNotFoundByEntityKey
	codeSeveralByKey   = "0x8006089d" // MultipleRecordsFoundByEntityKey
	codeDuplicateKey   = "0x80060892" // DuplicateRecordEntityKey
	codeDuplicate      = "0x80040237" // DuplicateRecord: primary key, SQL integrity
	codeUniqueIndex    = "0x80073002" // CrmSQLUniqueIndexOrConstraintViolation
	codeTokenExpired   = "0x80044352" // ExpiredVersionStamp
	codeNoPrivilege    = "0x80040220" // PrivilegeDenied
	codeNoRight        = "0x80048306" // PrincipalPrivilegeDenied on a record
	codeOwnerDenied    = "0x80040231" // the target owner lacks a privilege
	codeUserDisabled   = "0x80040225" // the user, or the named owner, is disabled
	codeUserUnlicensed = "0x8004d24b" // the user, or the named owner, has no licence
	codeUserNoRoles    = "0x80042f09" // the user, or the named owner, has no role
	codeNoResource     = "0x80060888" // Resource not found for the segment

	codeKeyNameExists   = "0x80060893" // EntityKeyNameExists
	codeKeyColumnsExist = "0x80060894" // EntityKeyWithSelectedAttributesExists
)

// byCode holds the codes that mean the same whatever the status and operation.
// Codes and names are those of the platform's public list of error codes
// ("Web service error codes" in the developer guide); the verdicts are ours.
var byCode = map[string]judgement{
	codeTokenExpired: {outcome.Reject, outcome.TokenExpired},
	codeOwnerDenied:  {outcome.Reject, outcome.TargetForbidden},
	codeNoResource:   {outcome.Stop, outcome.Config},

	"0x80060890":        {outcome.Stop, outcome.Config},   // EntityKeyNotDefined
	codeSeveralByKey:    {outcome.Reject, outcome.Config}, // this value, not every one
	codeKeyNameExists:   {outcome.Stop, outcome.Config},
	codeKeyColumnsExist: {outcome.Stop, outcome.Config},
	"0x80060895":        {outcome.Stop, outcome.Config}, // IndexSizeConstraintViolated
	"0x80060896":        {outcome.Stop, outcome.Config}, // CannotSecureEntityKeyAttribute
	"0x80060897":        {outcome.Stop, outcome.Config}, // ReactivateEntityKeyOnlyForFailedJobs
	"0x80060883":        {outcome.Stop, outcome.Config}, // ConcurrencyVersionNotProvided
	"0x8006088d":        {outcome.Stop, outcome.Config}, // OptimisticConcurrencyNotEnabled
	"0x80072491":        {outcome.Stop, outcome.Config}, // ChangeTrackingNotEnabledForEntity
	"0x80072492":        {outcome.Stop, outcome.Config}, // ChangeTrackingNotEnabledForRelatedEntities

	"0x8004a104": {outcome.Stop, outcome.Forbidden}, // OrganizationDisabled
	"0x8004a113": {outcome.Stop, outcome.Forbidden}, // UserDoesNotHaveAdminOnlyModePermissions
	"0x80072560": {outcome.Stop, outcome.Forbidden}, // UserNotMemberOfOrg

	"0x80040333": {outcome.Reject, outcome.DuplicateRule}, // DuplicateRecordsFound: documented as 500
	"0x80060882": {outcome.Reject, outcome.Precondition},  // ConcurrencyVersionMismatch

	"0x80072321": {outcome.RetryAfter, outcome.Throttled}, // execution time
	"0x80072322": {outcome.RetryAfter, outcome.Throttled}, // number of requests
	"0x80072326": {outcome.RetryAfter, outcome.Throttled}, // concurrent requests
	"0x8005f103": {outcome.RetryAfter, outcome.Throttled},
	"0x80060308": {outcome.RetryAfter, outcome.Throttled},

	"0x80072324": {outcome.Retry, outcome.Server}, // AzureSqlMaxConcurrentWorkers
	"0x80044150": {outcome.Retry, outcome.Server}, // generic SQL error
	"0x80044151": {outcome.Retry, outcome.Server}, // SQL timeout
	"0x80040216": {outcome.Retry, outcome.Server}, // UnExpected
	"0x80040224": {outcome.Retry, outcome.Plugin}, // IsvUnExpected

	"0x80040265": {outcome.Reject, outcome.Plugin},  // IsvAborted: custom logic refused
	"0x80044331": {outcome.Reject, outcome.Invalid}, // StringLengthTooLong
	"0x8004431a": {outcome.Reject, outcome.Invalid}, // PicklistValueOutOfRange
	"0x8004432f": {outcome.Reject, outcome.Invalid}, // IntegerValueOutOfRange
	"0x80044330": {outcome.Reject, outcome.Invalid}, // DecimalValueOutOfRange
	"0x80048408": {outcome.Reject, outcome.Invalid}, // InvalidStateCodeStatusCode
	"0x80048d19": {outcome.Reject, outcome.Invalid}, // unknown property in the body
}
