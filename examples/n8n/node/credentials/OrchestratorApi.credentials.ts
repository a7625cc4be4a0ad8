import type {
	IAuthenticateGeneric,
	Icon,
	ICredentialTestRequest,
	ICredentialType,
	INodeProperties,
} from 'n8n-workflow';

/** The address of a server, a key, and the secret of its messages. */
export class OrchestratorApi implements ICredentialType {
	name = 'orchestratorApi';

	displayName = 'Orchestrator API';

	icon: Icon = 'file:orchestrator.svg';

	documentationUrl = 'https://docs.n8n.io/integrations/community-nodes/';

	properties: INodeProperties[] = [
		{
			displayName: 'Address',
			name: 'url',
			type: 'string',
			default: 'http://localhost:8000',
			description: 'Address of the server, as printed by bin/orchestrator serve',
		},
		{
			displayName: 'API Key',
			name: 'apiKey',
			type: 'string',
			typeOptions: { password: true },
			default: '',
			required: true,
			description: 'Key with the scope submit. A callback URL needs the scope admin.',
		},
		{
			displayName: 'Webhook Secret',
			name: 'webhookSecret',
			type: 'string',
			typeOptions: { password: true },
			default: '',
			description:
				'Secret of the webhook endpoint in config.yaml. If the secret is empty, the trigger checks no signature.',
		},
	];

	authenticate: IAuthenticateGeneric = {
		type: 'generic',
		properties: { headers: { 'X-API-Key': '={{$credentials.apiKey}}' } },
	};

	test: ICredentialTestRequest = {
		request: { baseURL: '={{$credentials.url}}', url: '/api/v1/jobs', qs: { page_size: 1 } },
	};
}
