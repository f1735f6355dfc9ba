package sim

import (
	"hash/crc32"

	"cebridge/schema"
)

// objectTypeCodes are the fixed type codes of standard tables (entity reference).
var objectTypeCodes = map[string]int{
	"account": 1, "contact": 2, "systemuser": 8, "team": 9, "businessunit": 10, "equipment": 4000,
	"transactioncurrency": 9105, "organization": 1019,
}

// entityObject is the EntityMetadata of a table, the part of its properties that
// integrations read, in the order of the type's reference page.
func entityObject(t *schema.Table) metaObject {
	custom := isCustomName(t.LogicalName)
	code, known := objectTypeCodes[t.LogicalName]
	if !known {
		code = 10000 + int(crc32.ChecksumIEEE([]byte(t.LogicalName))%10000)
	}
	id := metadataID("table", t.LogicalName)
	var o metaObject
	o.add("ActivityTypeMask", 0)
	o.add("AutoRouteToOwnerQueue", false)
	o.add("CanTriggerWorkflow", true)
	o.add("Description", metaNoLabel())
	o.add("DisplayCollectionName", metaLabel(displayName(t.SchemaName)+"s", metadataID("plural", t.LogicalName)))
	o.add("DisplayName", metaLabel(displayName(t.SchemaName), metadataID("caption", t.LogicalName)))
	o.add("IsDocumentManagementEnabled", false)
	o.add("IsKnowledgeManagementEnabled", false)
	o.add("IsActivity", false)
	o.add("IsActivityParty", false)
	o.add("IsAuditEnabled", metaManaged(false, "canmodifyauditsettings"))
	o.add("IsAvailableOffline", true)
	o.add("IsChildEntity", false)
	o.add("IsConnectionsEnabled", metaManaged(true, "canmodifyconnectionsettings"))
	o.add("IsCustomEntity", custom)
	o.add("IsBusinessProcessEnabled", false)
	o.add("IsCustomizable", metaManaged(true, "iscustomizable"))
	o.add("IsRenameable", metaManaged(true, "isrenameable"))
	o.add("IsMappable", metaManaged(true, "ismappable"))
	o.add("IsDuplicateDetectionEnabled", metaManaged(false, "canmodifyduplicatedetectionsettings"))
	o.add("CanCreateAttributes", metaManaged(true, "cancreateattributes"))
	o.add("CanBePrimaryEntityInRelationship", metaManaged(true, "canbeprimaryentityinrelationship"))
	o.add("CanBeRelatedEntityInRelationship", metaManaged(true, "canberelatedentityinrelationship"))
	o.add("IsManaged", !custom)
	o.add("IsIntersect", false)
	o.add("IsPrivate", false)
	o.add("LogicalName", t.LogicalName)
	o.add("ObjectTypeCode", code)
	o.add("OwnershipType", metaEnum{"OwnershipTypes", string(t.Ownership)})
	o.add("PrimaryNameAttribute", textOrNull(t.PrimaryName))
	o.add("PrimaryImageAttribute", nil)
	o.add("PrimaryIdAttribute", t.PrimaryID)
	o.add("SchemaName", t.SchemaName)
	o.add("IntroducedVersion", "1.0.0.0")
	o.add("IsEnabledForCharts", true)
	o.add("LogicalCollectionName", t.EntitySet)
	o.add("ExternalCollectionName", nil)
	o.add("CollectionSchemaName", t.SchemaName+"s")
	o.add("EntitySetName", t.EntitySet)
	o.add("ChangeTrackingEnabled", t.ChangeTracking)
	o.add("CanChangeTrackingBeEnabled", metaManaged(true, "canchangetrackingbeenabled"))
	o.add("IsOptimisticConcurrencyEnabled", t.OptimisticConcurrency)
	o.add("DataProviderId", nil)
	o.add("ExternalName", nil)
	o.add("TableType", "Standard")
	o.add("MetadataId", id)
	o.add("HasChanged", nil)
	return o
}

// keyObject is the EntityKeyMetadata of an alternate key. job is the reference
// to its index job, nil for a key that came with the schema; that it stands there
// without $expand is an assumption.
func keyObject(t *schema.Table, k *schema.AlternateKey, job metaObject) metaObject {
	status := k.Status
	if status == "" {
		status = schema.KeyActive
	}
	var o metaObject
	o.add("DisplayName", metaLabel(displayName(k.SchemaName), metadataID("keycaption", t.LogicalName, k.LogicalName)))
	o.add("LogicalName", k.LogicalName)
	o.add("SchemaName", k.SchemaName)
	o.add("EntityLogicalName", t.LogicalName)
	o.add("KeyAttributes", k.Columns)
	o.add("IsCustomizable", metaManaged(true, "iscustomizable"))
	o.add("IsManaged", false)
	o.add("IntroducedVersion", "1.0.0.0")
	o.add("EntityKeyIndexStatus", metaEnum{"EntityKeyIndexStatus", string(status)})
	if job == nil {
		o.add("AsyncJob", nil)
	} else {
		o.add("AsyncJob", job)
	}
	o.add("MetadataId", metadataID("key", t.LogicalName, k.LogicalName))
	o.add("HasChanged", nil)
	return o
}

func textOrNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}
