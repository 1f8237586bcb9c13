<?php

declare(strict_types=1);

namespace SimpleSAML\Module\orcidconnect\Auth\Process;

use SimpleSAML\Auth\ProcessingFilter;
use SimpleSAML\Logger;

/**
 * Adds eduPersonOrcid to a sign-in, requested from the connector of ORCID connect.
 *
 * If the request fails, the sign-in continues with all other attributes, and the log has the reason.
 * Runs in SimpleSAMLphp 1.19 (lib/Auth/Process/) and 2 (src/Auth/Process/).
 */
class OrcidConnect extends ProcessingFilter
{
    private const PATTERN = '#^https://(sandbox\.)?orcid\.org/([0-9]{4}-){3}[0-9]{3}[0-9X]$#D';
    private const MAX_BYTES = 65536;

    private string $url;
    private string $tokenFile;
    private string $person;
    private string $target;
    private float $timeout;

    public function __construct(&$config, $reserved)
    {
        parent::__construct($config, $reserved);
        foreach (['url', 'tokenFile'] as $required) {
            if (!isset($config[$required]) || !is_string($config[$required])) {
                throw new \Exception("orcidconnect: $required is missing");
            }
        }
        $this->url = rtrim($config['url'], '/');
        $this->tokenFile = $config['tokenFile'];
        $this->person = $config['person'] ?? 'eduPersonPrincipalName';
        $this->target = $config['target'] ?? 'eduPersonOrcid';
        $this->timeout = (float) ($config['timeout'] ?? 3);
    }

    // Version 2 declares a type for this parameter, 1.19 does not: without one it is compatible with both
    public function process(&$request): void
    {
        // Equal values are one; different values identify no account
        $accounts = [];
        foreach (array_filter($request['Attributes'][$this->person] ?? [], 'is_string') as $value) {
            $accounts[self::folded($value)] ??= $value;
        }
        if (count($accounts) !== 1 || array_key_first($accounts) === '') {
            Logger::debug("orcidconnect: {$this->person} has not exactly one value");
            return;
        }
        try {
            $found = $this->request(reset($accounts));
        } catch (\Throwable $error) {
            // Without the URL, which contains the account
            Logger::warning('orcidconnect: the request failed: ' . $error->getMessage());
            return;
        }
        if ($found !== []) {
            $request['Attributes'][$this->target] = $found;
        }
    }

    /** @return string[] */
    private function request(string $account): array
    {
        $token = @file_get_contents($this->tokenFile);
        if ($token === false || trim($token) === '') {
            throw new \RuntimeException('the token file cannot be read or is empty');
        }
        $context = stream_context_create(['http' => [
            'header' => ['Authorization: Bearer ' . trim($token), 'Accept: application/json', 'Connection: close'],
            'timeout' => $this->timeout,
            'follow_location' => 0,
            'ignore_errors' => true,
            'protocol_version' => 1.1,
        ]]);
        $body = @file_get_contents($this->url . '/v1/people/' . rawurlencode($account), false, $context, 0, self::MAX_BYTES);
        $status = isset($http_response_header[0]) ? (int) substr($http_response_header[0], 9, 3) : 0;
        if ($body === false || $status !== 200) {
            throw new \RuntimeException($status === 0 ? 'no answer' : "status $status");
        }
        $answer = json_decode($body, true, 8, JSON_THROW_ON_ERROR);
        $values = is_array($answer) && is_array($answer['eduPersonOrcid'] ?? null) ? $answer['eduPersonOrcid'] : [];
        $orcidIds = array_filter($values, fn($each) => is_string($each) && preg_match(self::PATTERN, $each));
        return array_values(array_unique($orcidIds));
    }

    private static function folded(string $account): string
    {
        $account = trim($account, " \t\r\n");
        $normalized = class_exists('Normalizer') ? \Normalizer::normalize($account, \Normalizer::FORM_D) : $account;
        return mb_convert_case($normalized === false ? $account : $normalized, MB_CASE_FOLD, 'UTF-8');
    }
}
