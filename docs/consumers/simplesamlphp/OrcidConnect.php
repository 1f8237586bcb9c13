<?php

declare(strict_types=1);

namespace SimpleSAML\Module\orcidconnect\Auth\Process;

use SimpleSAML\Auth\ProcessingFilter;
use SimpleSAML\Logger;

/**
 * Adds eduPersonOrcid to a sign-in: asks the connector of ORCID connect for the person's ORCID iD.
 *
 * Whatever goes wrong, the sign-in goes on with all other attributes, and the log says what it was.
 * Runs in SimpleSAMLphp 1.19 (lib/Auth/Process/) and 2 (src/Auth/Process/).
 */
class OrcidConnect extends ProcessingFilter
{
    private const PATTERN = '#^https://(sandbox\.)?orcid\.org/([0-9]{4}-){3}[0-9]{3}[0-9X]$#D';
    private const LARGEST = 65536;

    private string $url;
    private string $tokenFile;
    private string $person;
    private string $target;
    private float $timeout;

    public function __construct(&$config, $reserved)
    {
        parent::__construct($config, $reserved);
        foreach (['url', 'tokenFile'] as $needed) {
            if (!isset($config[$needed]) || !is_string($config[$needed])) {
                throw new \Exception("orcidconnect: $needed is missing");
            }
        }
        $this->url = rtrim($config['url'], '/');
        $this->tokenFile = $config['tokenFile'];
        $this->person = $config['person'] ?? 'eduPersonPrincipalName';
        $this->target = $config['target'] ?? 'eduPersonOrcid';
        $this->timeout = (float) ($config['timeout'] ?? 3);
    }

    // The parent's parameter has a type in 2 and none in 1.19: without one it fits both
    public function process(&$request): void
    {
        $accounts = $request['Attributes'][$this->person] ?? [];
        if (count($accounts) !== 1 || !is_string($accounts[0]) || $accounts[0] === '') {
            Logger::debug("orcidconnect: not exactly one value of {$this->person}, so nobody to ask about");
            return;
        }
        try {
            $found = $this->ask($accounts[0]);
        } catch (\Throwable $error) {
            // Without the address, which holds the account
            Logger::warning('orcidconnect: no ORCID iD this time: ' . $error->getMessage());
            return;
        }
        if ($found !== []) {
            $request['Attributes'][$this->target] = $found;
        }
    }

    /** @return string[] */
    private function ask(string $account): array
    {
        $token = @file_get_contents($this->tokenFile);
        if ($token === false || trim($token) === '') {
            throw new \RuntimeException('the file of the token cannot be read, or is empty');
        }
        $context = stream_context_create(['http' => [
            'header' => ['Authorization: Bearer ' . trim($token), 'Accept: application/json', 'Connection: close'],
            'timeout' => $this->timeout,
            'follow_location' => 0,
            'ignore_errors' => true,
            'protocol_version' => 1.1,
        ]]);
        $body = @file_get_contents($this->url . '/v1/people/' . rawurlencode($account), false, $context, 0, self::LARGEST);
        $status = isset($http_response_header[0]) ? (int) substr($http_response_header[0], 9, 3) : 0;
        if ($body === false || $status !== 200) {
            throw new \RuntimeException($status === 0 ? 'the connector does not answer' : "the connector answered $status");
        }
        $answer = json_decode($body, true, 8, JSON_THROW_ON_ERROR);
        $values = is_array($answer) && is_array($answer['eduPersonOrcid'] ?? null) ? $answer['eduPersonOrcid'] : [];
        return array_values(array_filter($values, fn($each) => is_string($each) && preg_match(self::PATTERN, $each)));
    }
}
