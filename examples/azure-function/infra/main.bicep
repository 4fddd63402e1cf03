// A Function App on the Flex Consumption plan that reads one hub and one queue with its managed identity, and nothing more.
// The namespaces, the hub with its consumer group, the queue with sessions, and the database exist already, in this resource group.

@description('Name of the Function App; the storage account and the plan are named after it.')
@minLength(2)
@maxLength(40)
param name string
param location string = resourceGroup().location

param eventHubsNamespace string
param eventHub string
param consumerGroup string
param serviceBusNamespace string
param queue string

@description('Reference to the connection string of PostgreSQL: @Microsoft.KeyVault(SecretUri=…). Give the identity the right to read it.')
param databaseUrlReference string

var storageName = take('st${uniqueString(resourceGroup().id, name)}', 24)
var roles = {
  eventHubsDataReceiver: 'a638d3c7-ab3a-418d-83e6-5f17a39d4fde'
  serviceBusDataReceiver: '4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0'
  storageBlobDataOwner: 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
}

resource hub 'Microsoft.EventHub/namespaces/eventhubs@2024-01-01' existing = {
  name: '${eventHubsNamespace}/${eventHub}'
}

resource sessionQueue 'Microsoft.ServiceBus/namespaces/queues@2022-10-01-preview' existing = {
  name: '${serviceBusNamespace}/${queue}'
}

resource storage 'Microsoft.Storage/storageAccounts@2023-05-01' = {
  name: storageName
  location: location
  kind: 'StorageV2'
  sku: { name: 'Standard_LRS' }
  properties: {
    allowBlobPublicAccess: false
    allowSharedKeyAccess: false
    minimumTlsVersion: 'TLS1_2'
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2023-05-01' = {
  parent: storage
  name: 'default'
}

resource deployments 'Microsoft.Storage/storageAccounts/blobServices/containers@2023-05-01' = {
  parent: blobs
  name: 'deployments'
}

resource plan 'Microsoft.Web/serverfarms@2024-04-01' = {
  name: '${name}-plan'
  location: location
  kind: 'functionapp'
  sku: { name: 'FC1', tier: 'FlexConsumption' }
  properties: { reserved: true }
}

resource site 'Microsoft.Web/sites@2024-04-01' = {
  name: name
  location: location
  kind: 'functionapp,linux'
  identity: { type: 'SystemAssigned' }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${storage.properties.primaryEndpoints.blob}${deployments.name}'
          authentication: { type: 'SystemAssignedIdentity' }
        }
      }
      scaleAndConcurrency: { maximumInstanceCount: 40, instanceMemoryMB: 2048 }
      runtime: { name: 'python', version: '3.11' }
    }
    siteConfig: {
      appSettings: [
        { name: 'AzureWebJobsStorage__accountName', value: storage.name }
        { name: 'EventHubConnection__fullyQualifiedNamespace', value: '${eventHubsNamespace}.servicebus.windows.net' }
        { name: 'EventHubName', value: eventHub }
        { name: 'EventHubConsumerGroup', value: consumerGroup }
        { name: 'ServiceBusConnection__fullyQualifiedNamespace', value: '${serviceBusNamespace}.servicebus.windows.net' }
        { name: 'ServiceBusQueue', value: queue }
        { name: 'DATABASE_URL', value: databaseUrlReference }
      ]
    }
  }
}

resource readsHub 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: hub
  name: guid(hub.id, name, roles.eventHubsDataReceiver)
  properties: {
    principalId: site.identity.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.eventHubsDataReceiver)
  }
}

resource readsQueue 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: sessionQueue
  name: guid(sessionQueue.id, name, roles.serviceBusDataReceiver)
  properties: {
    principalId: site.identity.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.serviceBusDataReceiver)
  }
}

resource ownsBlobs 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: storage
  name: guid(storage.id, name, roles.storageBlobDataOwner)
  properties: {
    principalId: site.identity.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.storageBlobDataOwner)
  }
}

output principalId string = site.identity.principalId
